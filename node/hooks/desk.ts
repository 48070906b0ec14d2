/**
 * The desk at which harnesses' hooks are answered: payload → actions → guards → the harness's own answer. Never rejects;
 * whatever goes wrong is a denial with its reason. Remembers denials, so that an action seen after one raises the alarm.
 */
import { asSpineError } from "../../spine/index.ts";
import { type GuardAnswer, type GuardRequest, parseAction, type Tier } from "../guards/index.ts";
import { type HookAnswer, hookAnswer, type Outcome } from "./answer.ts";
import type { DenialMemory } from "./denial-memory.ts";
import type { FlatAction } from "./flat-action.ts";
import type { Harness } from "./harness.ts";
import { type HookCall, readPayload } from "./payload.ts";

/** The part of the guard host that is asked. */
export interface Judge {
  answer(request: GuardRequest): Promise<GuardAnswer>;
  unusable(message: string): void;
}

/** An action ran although it was denied: the harness does not hold what it promises. */
export interface BrokenDenial {
  readonly harness: string;
  /** Envelope of the denial's receipt, when it was recorded. */
  readonly envelopeHash: string | null;
  /** How it was seen. */
  readonly evidence: "post_use_hook" | "mcp_result";
}

export interface DeskOptions {
  readonly judge: Judge;
  readonly denials: DenialMemory;
  /** What this harness was proven to do with a denial. */
  readonly tierOf: (harness: Harness) => Tier;
  readonly onBrokenDenial: (broken: BrokenDenial) => void;
}

export interface DeskPeer {
  readonly agent?: string;
  readonly uid?: number;
}

export class HookDesk {
  readonly #options: DeskOptions;

  constructor(options: DeskOptions) {
    this.#options = options;
  }

  /** `receivedMs` as `performance.now()` counts. */
  async answer(harness: Harness, bytes: Uint8Array, peer: DeskPeer, receivedMs: number): Promise<HookAnswer> {
    let call: HookCall | undefined;
    try {
      call = readPayload(harness, bytes);
      return await this.#answer(harness, call, peer, receivedMs);
    } catch (caught) {
      const { code, message } = asSpineError(caught);
      return this.refuse(harness, call, `${code}: ${message}`);
    }
  }

  /** Somebody else saw one. */
  brokenDenial(broken: BrokenDenial): void {
    this.#options.onBrokenDenial(broken);
  }

  /** The denial of what could not be judged. */
  refuse(harness: Harness, call: Pick<HookCall, "event" | "phase"> | undefined, why: string): HookAnswer {
    this.#options.judge.unusable(`${harness}: ${why}`);
    const { event, phase } = call ?? { event: "PreToolUse", phase: "before" };
    return hookAnswer(
      harness,
      event,
      phase,
      "deny",
      `Spine: denied, since this cannot be judged (${why.slice(0, 300)})`,
    );
  }

  async #answer(harness: Harness, call: HookCall, peer: DeskPeer, receivedMs: number): Promise<HookAnswer> {
    const { event, phase, derived, callId } = call;
    if (phase === "after" && callId !== undefined) {
      const denial = await this.#options.denials.take(callId);
      if (denial !== undefined)
        this.#options.onBrokenDenial({ harness, envelopeHash: denial.envelopeHash, evidence: "post_use_hook" });
    }
    if ("refused" in derived) {
      if (callId !== undefined && phase === "before") await this.#options.denials.add(callId, null);
      return this.refuse(harness, call, derived.refused);
    }
    let outcome: Outcome = "allow";
    let message = "";
    for (const action of derived.actions) {
      const answer = await this.#options.judge.answer(this.#request(harness, call, action, peer, receivedMs));
      const { decision } = answer;
      if (decision.verdict !== "allow" && message === "") message = `Spine (${decision.guard}): ${decision.message}`;
      if (answer.mode === "observe") continue;
      const next: Outcome = decision.ask ? "ask" : answer.allowed ? "allow" : "deny";
      if (next === "allow" || (next === "ask" && outcome === "ask")) continue;
      outcome = next;
      message = `Spine (${decision.guard}): ${decision.message}`;
      if (outcome === "deny") {
        if (callId !== undefined && phase === "before")
          await this.#options.denials.add(callId, answer.envelopeHash ?? null);
        break;
      }
    }
    return hookAnswer(harness, event, phase, outcome, message);
  }

  #request(harness: Harness, call: HookCall, flat: FlatAction, peer: DeskPeer, receivedMs: number): GuardRequest {
    const { session, cwd, event } = call;
    const { agent, uid } = peer;
    const { action, caller } = parseAction({
      ...flat,
      ...(session !== undefined && { session_id: session }),
      ...(cwd !== undefined && { cwd }),
      ...(agent !== undefined && { agent_id: agent }),
    });
    return {
      action,
      caller,
      tier: this.#options.tierOf(harness),
      harness: { kind: harness, hookMode: event.slice(0, 128) },
      receivedMs,
      ...(uid !== undefined && { peer: { uid } }),
    };
  }
}
