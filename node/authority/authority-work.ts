/** What the daemon does by the word of the core's authority: sends revoked peers away, watches the trust file, states sets. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Issuer, LinkId, MeshEvent } from "../../spine/index.ts";
import type { Log } from "../log.ts";
import { changePeerbook } from "../peerbook.ts";
import type { Runtime } from "../runtime.ts";
import { type AuthorityEvent, factEvent, trustEvent } from "./authority-events.ts";
import { watchTrust } from "./trust-keeper.ts";

const TICK_MS = 5_000;

/** A revoked peer is dialled no more and leaves the peerbook (rules 8). */
async function forgetPeer(runtime: Runtime, link: LinkId): Promise<void> {
  for (const plane of runtime.planes) {
    const peer = plane.peers().find((one) => one.link === link);
    if (peer === undefined) continue;
    await plane.removePeer(peer.id);
    const isPeer = (address: string): boolean =>
      peer.addresses.includes(address) || address.endsWith(`/p2p/${peer.id}`);
    await changePeerbook(runtime.dir.peerbook, { remove: isPeer });
  }
}

export class AuthorityWork {
  readonly #runtime: Runtime;
  readonly #log: Log;
  readonly #tell: (event: AuthorityEvent) => void;
  #trustTold = "";
  #trustChanged = false;
  /** `tell` gets what subscribers should hear. */
  constructor(runtime: Runtime, log: Log, tell: (event: AuthorityEvent) => void) {
    this.#runtime = runtime;
    this.#log = log;
    this.#tell = tell;
    this.#tellTrust();
  }

  on(event: MeshEvent): void {
    const told = factEvent(event, this.#runtime.driver.mesh.authority);
    if (told !== undefined) this.#tell(told);
    this.#trustChanged ||= event.type === "authority" && event.cause === "trust";
    if (event.type === "authority") return this.#runtime.checkOwnStanding();
    if (event.type === "revocation-set") return this.#runtime.revocationSets.heard(event);
    if (event.type !== "peer-revoked") return;
    forgetPeer(this.#runtime, event.link).catch((error: unknown) => {
      this.#log.error({ err: error, issuer: event.issuer }, "a revoked peer could not be forgotten");
    });
  }

  #tellTrust(): void {
    const { pending, problem } = this.#runtime.trust;
    const told = JSON.stringify([pending, problem?.message ?? null]);
    if (told !== this.#trustTold || this.#trustChanged) this.#tell(trustEvent(this.#runtime.trust));
    this.#trustChanged = false;
    if (told === this.#trustTold) return;
    this.#trustTold = told;
    if (problem !== null)
      this.#log.error({ code: problem.code, problem: problem.message }, "trust file not taken over");
    if (pending.length > 0) this.#log.warn({ pending }, "the trust file would loosen trust: waits for confirmation");
  }

  /** Until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { dir } = this.#runtime;
    const reload = async (): Promise<void> => {
      await this.#runtime.reloadTrust().catch((error: unknown) => {
        this.#log.error({ err: error }, "trust could not be reloaded: the former trust stays in effect");
      });
      this.#tellTrust();
    };
    const watching = watchTrust({ file: dir.trust, accepted: dir.trustAccepted }, reload, signal);
    // What was written between the start and the watch.
    await reload();
    await Promise.all([watching, this.#state(signal)]);
  }

  async #state(signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        await sleep(TICK_MS, undefined, { signal });
      } catch {
        return;
      }
      await this.#runtime.revocationSets.tick().catch((error: unknown) => {
        this.#log.debug({ err: error }, "revocation set not stated");
      });
    }
  }
}

/** What the operator should know, one sentence each. */
export function authorityWarnings({ driver, issuer, trust, revocationSets }: Runtime): string[] {
  const { revokedFrom, successor } = driver.mesh.authority.standing(issuer);
  const own = ownWarning(revokedFrom, successor);
  const { behind } = revocationSets;
  return [
    ...own,
    ...(trust.problem === null ? [] : [`Trust file: ${trust.problem.message}. The former trust stays in effect.`]),
    ...(trust.pending.length === 0
      ? []
      : [`Trust file: ${trust.pending.length} changes would loosen trust and wait for \`spine trust confirm\`.`]),
    ...(behind.length === 0
      ? []
      : [`${behind.length} trusted issuers know of more revocations than this node: some may be withheld from it.`]),
  ];
}

function ownWarning(revokedFrom: number | null, successor: Issuer | null): string[] {
  if (successor !== null)
    return [`This node's key has handed over to ${successor}: restart the node to continue with it.`];
  if (revokedFrom !== null)
    return [
      `This node's own key is revoked from seq ${revokedFrom}: nothing is published. \`spine succeed\` makes a successor.`,
    ];
  return [];
}
