/** Rebuilds an authority from stored rows at start (`acting.ts`). Called by whoever opens a store before it makes a `Mesh`. */
import { feedAuthority, readFactRow } from "./acting.ts";
import { Authority } from "./authority.ts";
import type { AuthorityTrust } from "./authority-trust.ts";
import type { LooseFact } from "./loose-facts.ts";

export class AuthorityLoader {
  readonly authority: Authority;
  readonly looseFacts: LooseFact[] = [];
  /** Throws `config_invalid`. */
  constructor(trust: AuthorityTrust) {
    this.authority = new Authority(trust);
  }
  /** One row of `RowTable.authority`; order does not matter. Throws `store_corrupt`. */
  add(key: string, value: Uint8Array): void {
    const { fact, hash, record } = readFactRow(key, value);
    feedAuthority(this.authority, fact);
    if (record !== null) this.looseFacts.push({ fact, hash, record: record.slice() });
  }
}
