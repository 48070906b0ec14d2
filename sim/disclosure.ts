/** What the daemon's gateway does around the disclosure index, for one simulated node: homes, judging anew, rates. */
import { defaultPolicy } from "../node/index.ts";
import {
  type DisclosureDecision,
  DisclosureIndex,
  HOME_ROW,
  type Issuer,
  RowTable,
  type Sha256Hex,
  utf8Text,
} from "../spine/index.ts";
import type { SimPeer } from "./peer.ts";

const RELEASE_MS = 250;

export interface DisclosureHooks {
  readonly later: (ms: number, task: () => void) => void;
  readonly changed: (issuers: readonly Issuer[]) => void;
}

export class PeerDisclosure {
  readonly index: DisclosureIndex;
  readonly #peer: SimPeer;
  readonly #hooks: DisclosureHooks;
  #releasing = false;

  constructor(peer: SimPeer, planes: readonly string[], sha256Hex: Sha256Hex, hooks: DisclosureHooks) {
    this.#peer = peer;
    this.#hooks = hooks;
    const policy = defaultPolicy();
    this.index = new DisclosureIndex({
      own: peer.issuer,
      policy: policy.disclosure,
      rates: policy.rates,
      now: () => peer.now(),
      sha256Hex,
      onDecision: (decision) => this.#decided(decision),
      onHome: (issuer) => this.#home(issuer),
    });
    for (const plane of planes) this.index.addPlane(plane);
    for (const { key, value } of peer.disk.rows(RowTable.gateway, HOME_ROW)) {
      this.index.restoreHomes(key.slice(HOME_ROW.length), utf8Text(value).split(" "));
    }
    for (const issuer of peer.disk.issuers()) this.#judge(issuer);
    if (peer.disk.record(peer.issuer) === undefined) this.index.finishIssuer(peer.issuer);
  }

  #decided({ verdict }: DisclosureDecision): void {
    if (verdict !== "defer" || this.#releasing) return;
    this.#releasing = true;
    this.#hooks.later(RELEASE_MS, () => this.#release());
  }
  #release(): void {
    const released = this.index.release();
    if (released.length > 0) this.#hooks.changed([...new Set(released.map(({ issuer }) => issuer))]);
    this.#releasing = this.index.deferred > 0;
    if (this.#releasing) this.#hooks.later(RELEASE_MS, () => this.#release());
  }

  #home(issuer: Issuer): void {
    this.#hooks.later(0, () => {
      this.#judge(issuer);
      this.#hooks.changed([issuer]);
    });
  }

  #judge(issuer: Issuer): void {
    this.index.beginIssuer(issuer);
    const judge = (from: number, to: number): void => {
      for (const piece of this.#peer.disk.pieces(issuer, from, to))
        this.index.judgeRun({ issuer, from: piece.from, records: piece.records }, false);
    };
    judge(0, Number.MAX_SAFE_INTEGER);
    do for (const { from, to } of this.index.takeLate(issuer)) judge(from, to);
    while (!this.index.finishIssuer(issuer));
  }
}
