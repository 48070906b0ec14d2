/**
 * Who belongs to the enclave: issuers on the operator's list that announced a transport key, less those that were
 * revoked, frozen or denied. Pure. The order of the list decides between two that claim one key or one address.
 */
import type { Issuer } from "../../spine/index.ts";
import { type Binding, sameFields } from "./binding.ts";
import type { KeptPeer } from "./keeper.ts";

/** Issuers on the list at most. */
export const MAX_MEMBERS = 1_024;

/** Why a listed issuer is not let in. */
export type Absence = "no binding yet" | "revoked or frozen" | "no attestation yet";

export interface MembersOptions {
  readonly own: Issuer;
  readonly keepaliveSeconds: number;
  /** Whether what `issuer` signed at `seq` grants nothing any more, or nothing of it does. Asked at each look. */
  readonly excluded: (issuer: Issuer, seq: number) => boolean;
  /** Whether the issuer is attested as the operator demands; asked at each look. */
  readonly attested: (issuer: Issuer) => boolean;
}

export class Members {
  readonly #options: MembersOptions;
  /** In order of precedence. */
  readonly #listed = new Set<Issuer>();
  readonly #bindings = new Map<Issuer, Binding>();
  readonly #previous = new Map<Issuer, string>();
  constructor(options: MembersOptions) {
    this.#options = options;
  }
  get listed(): readonly Issuer[] {
    return [...this.#listed];
  }
  isListed(issuer: Issuer): boolean {
    return this.#listed.has(issuer);
  }
  binding(issuer: Issuer): Binding | undefined {
    return this.#bindings.get(issuer);
  }

  /** False if it was listed, is this node itself, or the list is full. */
  list(issuer: Issuer): boolean {
    if (issuer === this.#options.own || this.#listed.has(issuer) || this.#listed.size >= MAX_MEMBERS) return false;
    this.#listed.add(issuer);
    return true;
  }
  /** False if it was not listed. */
  unlist(issuer: Issuer): boolean {
    this.#bindings.delete(issuer);
    this.#previous.delete(issuer);
    return this.#listed.delete(issuer);
  }

  /** Takes a binding whose signature was verified. False if nothing changes: not listed, or not newer than what is known. */
  learn(binding: Binding): boolean {
    if (!this.#listed.has(binding.issuer)) return false;
    const known = this.#bindings.get(binding.issuer);
    if (known !== undefined && known.seq >= binding.seq) return false;
    this.#bindings.set(binding.issuer, binding);
    if (known !== undefined && known.publicKey !== binding.publicKey)
      this.#previous.set(binding.issuer, known.publicKey);
    return known === undefined || !sameFields(known, binding);
  }

  /**
   * Keys under which the interface may hold the issuer's address: its own, the next, and the last one until the interface
   * has let go of it, so that news of a new key which comes around another way cuts no link.
   */
  keys(issuer: Issuer): readonly string[] {
    const binding = this.#bindings.get(issuer);
    if (binding === undefined) return [];
    return [binding.publicKey, binding.nextKey, this.#previous.get(issuer)].filter((key) => typeof key === "string");
  }

  /** Undefined = it is in, as far as the list is concerned. */
  absence(issuer: Issuer): Absence | undefined {
    const binding = this.#bindings.get(issuer);
    if (binding === undefined) return "no binding yet";
    if (this.#options.excluded(issuer, binding.seq)) return "revoked or frozen";
    return this.#options.attested(issuer) ? undefined : "no attestation yet";
  }
  /** Bindings of those who are in, in order of precedence. */
  present(): readonly Binding[] {
    return [...this.#listed].flatMap((issuer) => {
      const binding = this.#bindings.get(issuer);
      return binding === undefined || this.absence(issuer) !== undefined ? [] : [binding];
    });
  }
  wanted(): readonly KeptPeer[] {
    const { keepaliveSeconds } = this.#options;
    return this.present().map(({ publicKey, nextKey, address, endpoints }) => {
      return { publicKey, nextKey, address, endpoints, keepaliveSeconds };
    });
  }
}
