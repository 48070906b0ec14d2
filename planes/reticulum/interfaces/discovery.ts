/** AutoInterface discovery: multicast group and tokens (spec/reticulum.md section 16.5). Bytes only. */
import { utf8 } from "../../../spine/index.ts";
import { sha256 } from "../stack/crypto.ts";

export const SCOPES = { link: "2", admin: "4", site: "5", organisation: "8", global: "e" } as const;
export type Scope = keyof typeof SCOPES;

/** The IPv6 group that nodes of one group id meet on. */
export function multicastGroup(groupId: string, scope: Scope, permanent: boolean = false): string {
  const hash = sha256(utf8(groupId));
  const words: string[] = [];
  for (let i = 2; i < 14; i += 2) words.push((((hash[i] as number) << 8) | (hash[i + 1] as number)).toString(16));
  return `ff${permanent ? "0" : "1"}${SCOPES[scope]}:0:${words.join(":")}`;
}

/** What a node sends: 32 bytes that only somebody of the group can make, bound to its link-local address without zone. */
export function discoveryToken(groupId: string | Uint8Array, address: string): Uint8Array {
  return sha256(typeof groupId === "string" ? utf8(groupId) : groupId, utf8(address));
}
