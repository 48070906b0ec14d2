/** The daemon's follower of logs at a simulated node: its store, links and messages in virtual time. */
import { Follower } from "../../node/index.ts";
import {
  asSpineError,
  decodeAttestMessage,
  encodeAttestMessage,
  type Issuer,
  type LinkId,
  type MeshEvent,
  type Row,
} from "../../spine/index.ts";
import type { SimPeer } from "../peer.ts";
import type { World } from "../world.ts";

export class LogFollower {
  readonly #world: World;
  readonly #peer: SimPeer;
  readonly #logs: readonly Issuer[];
  readonly #onProof: (logId: Issuer) => void;
  #follower: Follower;

  constructor(world: World, peer: SimPeer, logs: readonly Issuer[], onProof: (logId: Issuer) => void) {
    this.#world = world;
    this.#peer = peer;
    this.#logs = logs;
    this.#onProof = onProof;
    this.#follower = this.#make();
    peer.onAttest = (link, body) => this.#message(link, body);
  }
  proves(logId: Issuer): boolean {
    return this.#follower.proofs.has(logId);
  }

  /** A new life of the node begins: what it holds is read again. */
  restarted(): void {
    this.#follower = this.#make();
    const { disk } = this.#peer;
    const newest = (logId: Issuer): number | undefined => disk.record(logId)?.ranges.at(-1)?.to;
    this.#run(async () => {
      await this.#follower.open();
      await this.#follower.follow(this.#logs, newest);
    });
  }
  heard(event: MeshEvent): void {
    if (event.type === "ready") this.#follower.ready(event.link);
    if (event.type === "fork") this.#run(() => this.#follower.forked(event.issuer));
    if (event.type !== "stored" || !this.#logs.includes(event.run.issuer)) return;
    const { issuer, from, hashes } = event.run;
    this.#follower.stored(issuer, from + hashes.length - 1, hashes.at(-1) as string);
  }
  #message(link: LinkId, body: Uint8Array): void {
    this.#run(() => this.#follower.message(link, decodeAttestMessage(body)));
  }

  #make(): Follower {
    const peer = this.#peer;
    return new Follower({
      store: {
        at: async (issuer, seq) => {
          const row = peer.disk.at(issuer, seq);
          return row === undefined ? undefined : { ...row, seq, leafIndex: peer.disk.leaves.indexOf(row.hash) };
        },
        async *rows(table, prefix = "") {
          yield* peer.disk.rows(table, prefix);
        },
        forks: async () => peer.disk.load().forks,
      },
      verifier: { verify: async (claims) => claims.map((claim) => this.#world.ports.verify(claim)) },
      ownLog: () => peer.issuer,
      commitRows: (rows) => this.#commit(rows),
      send: (link, message, about) =>
        peer.feed({
          type: "attest",
          link,
          body: encodeAttestMessage(message),
          ...(about === undefined ? {} : { about: [about] }),
        }),
      links: () => (peer.mesh?.links() ?? []).flatMap(({ id, issuer }) => (issuer === null ? [] : [id])),
      penalise: (link, code) => this.#world.trace(`penalise ${peer.index} ${link} ${code}`),
      onEvent: ({ logId }) => this.#onProof(logId),
    });
  }
  async #commit(rows: readonly Row[]): Promise<void> {
    this.#peer.commitRows(rows);
  }
  /** Its promises get their turn before time goes on. A peer's bad message is no fault of this node. */
  #run(task: () => Promise<void>): void {
    this.#world.planesAtWork = true;
    task().catch((caught: unknown) => {
      if (asSpineError(caught).blame !== "sender") this.#world.planeFailed(caught);
    });
  }
}
