/**
 * Calls that were denied a while ago, by their id; bounded, the oldest are forgotten. The hook desk keeps them in the store,
 * so that an action is still known to have been denied after a restart; the MCP proxy keeps them for its session.
 */
import { isJsonObject, parseJson, type Row, RowTable, utf8, utf8Text } from "../../spine/index.ts";
import type { Store } from "../../storage/index.ts";

const MAX_DENIALS = 4_096;
const ROWS = "denial/";

export interface Denial {
  readonly envelopeHash: string | null;
}

/** Durable when resolved; null forgets. */
export type KeepDenials = (changes: readonly (readonly [callId: string, denial: Denial | null])[]) => Promise<void>;

export class DenialMemory {
  readonly #denials: Map<string, Denial>;
  readonly #keep: KeepDenials;

  constructor(known: Iterable<readonly [string, Denial]> = [], keep: KeepDenials = async () => {}) {
    this.#denials = new Map(known);
    this.#keep = keep;
  }

  async add(callId: string, envelopeHash: string | null): Promise<void> {
    const denial = { envelopeHash };
    this.#denials.delete(callId);
    this.#denials.set(callId, denial);
    const [oldest] = this.#denials.keys();
    if (this.#denials.size <= MAX_DENIALS || oldest === undefined) return this.#keep([[callId, denial]]);
    this.#denials.delete(oldest);
    return this.#keep([
      [callId, denial],
      [oldest, null],
    ]);
  }

  /** Forgets it: one call is reported once. */
  async take(callId: string): Promise<Denial | undefined> {
    const found = this.#denials.get(callId);
    if (!this.#denials.delete(callId)) return undefined;
    await this.#keep([[callId, null]]);
    return found;
  }
}

/** What the store remembers, oldest first. */
export async function keptDenials(
  store: Pick<Store, "rows">,
  commitRows: (rows: readonly Row[]) => Promise<void>,
): Promise<DenialMemory> {
  const known: { readonly callId: string; readonly number: number; readonly denial: Denial }[] = [];
  for await (const { key, value } of store.rows(RowTable.guard, ROWS)) {
    const row = parseJson(utf8Text(value));
    if (!isJsonObject(row)) continue;
    const { number, envelope_hash: hash } = row;
    const denial = { envelopeHash: typeof hash === "string" ? hash : null };
    known.push({ callId: key.slice(ROWS.length), number: Number(number), denial });
  }
  known.sort((a, b) => a.number - b.number);
  let next = (known.at(-1)?.number ?? 0) + 1;
  return new DenialMemory(
    known.map(({ callId, denial }) => [callId, denial]),
    (changes) =>
      commitRows(
        changes.map(([callId, denial]) => ({
          table: RowTable.guard,
          key: `${ROWS}${callId}`,
          value: denial && utf8(JSON.stringify({ number: next++, envelope_hash: denial.envelopeHash })),
        })),
      ),
  );
}
