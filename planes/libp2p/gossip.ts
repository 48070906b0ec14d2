/**
 * Broadcasts over gossipsub: nothing is passed on before the core has judged it, unjudged messages are bounded per
 * neighbour, in number, bytes and time, and a flood costs its sender points.
 */
import type { GossipSub, TopicValidatorResult } from "@libp2p/gossipsub";
import type { PeerId } from "@libp2p/interface";
import { GOSSIP_TOPIC, type LinkId, SpineError, type Verdict } from "../../spine/index.ts";
import type { EventQueue } from "../event-queue.ts";
import { FAULT_POINTS } from "../penalties.ts";
import type { Libp2pLimits } from "./options.ts";

/** What gossipsub's class offers beyond its exported interface. */
export interface GossipRouter extends GossipSub {
  reportMessageValidationResult(id: string, source: string, result: TopicValidatorResult): void;
  getScore(peer: string): number;
}

export interface GossipCounts {
  gossip_sent: number;
  gossip_unsent: number;
  gossip_received: number;
  gossip_dropped: number;
  gossip_expired: number;
  gossip_accepted: number;
  gossip_ignored: number;
  gossip_rejected: number;
}

export interface GossipOptions {
  readonly router: GossipRouter;
  readonly results: typeof TopicValidatorResult;
  readonly queue: EventQueue;
  readonly limits: Libp2pLimits;
  readonly now: () => number;
  readonly counts: GossipCounts;
  readonly linkOf: (peer: string) => LinkId;
  readonly penalise: (peer: string, points: number) => void;
}

interface Pending {
  readonly peer: string;
  readonly bytes: number;
  readonly at: number;
}

interface Neighbour {
  pending: number;
  /** Token bucket. */
  tokens: number;
  at: number;
}

/** A message beyond the rate costs a hundredth of a fault. */
const FLOOD_POINTS = FAULT_POINTS / 100;

interface Heard {
  readonly propagationSource: PeerId;
  readonly msgId: string;
  readonly msg: { readonly topic: string; readonly data: Uint8Array };
}

export class Gossip {
  readonly #options: GossipOptions;
  /** In order of arrival. */
  readonly #pending = new Map<string, Pending>();
  readonly #neighbours = new Map<string, Neighbour>();
  #pendingBytes = 0;
  readonly #listener = (event: { detail: Heard }): void => this.#heard(event.detail);

  constructor(options: GossipOptions) {
    this.#options = options;
    options.router.addEventListener("gossipsub:message", this.#listener);
    options.router.subscribe(GOSSIP_TOPIC);
  }

  /** Neighbours it went to; rejects with `frame_size`. gossipsub says nothing of messages it did not send but "nobody". */
  async publish(data: Uint8Array): Promise<number> {
    const { limits, router, counts } = this.#options;
    if (data.length < 1 || data.length > limits.maxGossipBytes) {
      throw new SpineError("frame_size", `broadcast of ${data.length} bytes, limit ${limits.maxGossipBytes}`);
    }
    const { recipients } = await router.publish(GOSSIP_TOPIC, new Uint8Array(data));
    counts.gossip_sent += recipients.length;
    if (recipients.length === 0) counts.gossip_unsent++;
    return recipients.length;
  }

  judge(id: string, verdict: Verdict): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#settle(id, pending, verdict);
    if (verdict === "reject") this.#options.penalise(pending.peer, FAULT_POINTS);
  }

  /** Ignores what was not judged in time and forgets neighbours that left. */
  tick(present: (peer: string) => boolean): void {
    const { now, limits, counts } = this.#options;
    for (const [id, pending] of this.#pending) {
      if (now() - pending.at < limits.judgeMs) break;
      counts.gossip_expired++;
      this.#settle(id, pending, "ignore");
    }
    for (const [peer, neighbour] of this.#neighbours) {
      if (neighbour.pending === 0 && !present(peer)) this.#neighbours.delete(peer);
    }
  }

  end(): void {
    this.#options.router.removeEventListener("gossipsub:message", this.#listener);
    this.#pending.clear();
    this.#neighbours.clear();
  }

  #heard({ propagationSource, msgId, msg }: Heard): void {
    const { limits, counts, queue, now } = this.#options;
    const peer = propagationSource.toString();
    const neighbour = this.#neighbour(peer);
    counts.gossip_received++;
    if (msg.topic !== GOSSIP_TOPIC || msg.data.length < 1 || msg.data.length > limits.maxGossipBytes) {
      this.#report(msgId, peer, "reject");
      this.#options.penalise(peer, FAULT_POINTS);
      return;
    }
    const flood = !this.#spend(neighbour);
    if (flood) this.#options.penalise(peer, FLOOD_POINTS);
    if (
      flood ||
      neighbour.pending >= limits.pendingGossipPerPeer ||
      this.#pending.size >= limits.pendingGossip ||
      this.#pendingBytes + msg.data.length > limits.pendingGossipBytes
    ) {
      counts.gossip_dropped++;
      this.#report(msgId, peer, "ignore");
      return;
    }
    neighbour.pending++;
    this.#pendingBytes += msg.data.length;
    this.#pending.set(msgId, { peer, bytes: msg.data.length, at: now() });
    queue.push({ type: "gossip", link: this.#options.linkOf(peer), id: msgId, data: msg.data }, msg.data.length);
  }

  #settle(id: string, pending: Pending, verdict: Verdict): void {
    this.#pending.delete(id);
    this.#pendingBytes -= pending.bytes;
    const neighbour = this.#neighbours.get(pending.peer);
    if (neighbour !== undefined) neighbour.pending--;
    this.#report(id, pending.peer, verdict);
  }

  #report(id: string, peer: string, verdict: Verdict): void {
    const { results, router, counts } = this.#options;
    if (verdict === "accept") {
      counts.gossip_accepted++;
      router.reportMessageValidationResult(id, peer, results.Accept);
    } else if (verdict === "ignore") {
      counts.gossip_ignored++;
      router.reportMessageValidationResult(id, peer, results.Ignore);
    } else {
      counts.gossip_rejected++;
      router.reportMessageValidationResult(id, peer, results.Reject);
    }
  }

  #neighbour(peer: string): Neighbour {
    let neighbour = this.#neighbours.get(peer);
    if (neighbour === undefined) {
      neighbour = { pending: 0, tokens: this.#options.limits.gossipBurst, at: this.#options.now() };
      this.#neighbours.set(peer, neighbour);
    }
    return neighbour;
  }

  #spend(neighbour: Neighbour): boolean {
    const { limits } = this.#options;
    const now = this.#options.now();
    const earned = ((now - neighbour.at) / 1_000) * limits.gossipPerSecond;
    neighbour.tokens = Math.min(limits.gossipBurst, neighbour.tokens + earned);
    neighbour.at = now;
    if (neighbour.tokens < 1) return false;
    neighbour.tokens--;
    return true;
  }
}
