/** The operator's policy as it was last in force, kept over restarts: what the file says then is compared with it. */
import { parseJson, type Row, RowTable, utf8, utf8Text } from "../../../spine/index.ts";
import type { Store } from "../../../storage/index.ts";
import { isDialect } from "../dialect.ts";
import type { EffectivePolicy } from "../policy/effective.ts";
import { policyHash } from "../policy/hash.ts";
import type { LoadedPolicy } from "../policy/load.ts";

const KEY = "policy";

export function policyRow(policy: LoadedPolicy): Row {
  const { dialect, effective, merged, hash } = policy;
  return { table: RowTable.guard, key: KEY, value: utf8(JSON.stringify({ dialect, effective, merged, hash })) };
}

/** Undefined when there is none, or when it is not what its hash says: then nothing is known of the past. */
export async function readPolicyRow(store: Pick<Store, "row">): Promise<LoadedPolicy | undefined> {
  const bytes = await store.row(RowTable.guard, KEY);
  if (bytes === undefined) return undefined;
  const { dialect, effective, merged, hash } = parseJson(utf8Text(bytes)) as unknown as LoadedPolicy;
  if (!isDialect(dialect) || policyHash(effective as EffectivePolicy) !== hash) return undefined;
  return { dialect, effective, merged, hash };
}
