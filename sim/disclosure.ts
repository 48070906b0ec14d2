/** What the daemon's gateway does around the disclosure index, for one simulated node: homes, judging anew, rates. */
import { defaultPolicy } from "../node/index.ts";
import {
  type DisclosureDecision,
  DisclosureIndex,
  type Issuer,
  type Row,
  RowTable,
  type Sha256Hex,
  utf8,
  utf8Text,
} from "../spine/index.ts";
import type { SimPeer } from "./peer.ts";

const HOME = "home/";
const RELEASE_MS = 250;

export interface DisclosureHooks {
  readonly later: (ms: number, task: () => void) => void;
  readonly commitRows: (rows: readonly Row[]) => void;
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
      onHome: (issuer, homes) => this.#home(issuer, homes),
    });
    for (const plane of planes) this.index.addPlane(plane);
    for (const { key, value } of peer.disk.rows(RowTable.gateway, HOME)) {
      this.index.restoreHomes(key.slice(HOME.length), utf8Text(value).split(" "));
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

  #home(issuer: Issuer, homes: readonly string[]): void {
    const row = { table: RowTable.gateway, key: HOME + issuer, value: utf8(homes.join(" ")) };
    this.#hooks.commitRows([row]);
    if (homes.length < 2) return;
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
