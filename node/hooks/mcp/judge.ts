/** Who decides for the MCP proxy: the daemon over its socket, a policy in this process, or both, which must then agree. */
import { asSpineError } from "../../../spine/index.ts";
import { Client } from "../../client.ts";
import { GuardEngine, type LoadedPolicy, parseAction } from "../../guards/index.ts";
import type { FlatAction } from "../flat-action.ts";

export interface Ruling {
  readonly allowed: boolean;
  /** One sentence for the agent. */
  readonly message: string;
  readonly envelopeHash: string | null;
}

export interface McpJudge {
  /** Never rejects: what cannot be decided is denied. */
  judge(action: FlatAction): Promise<Ruling>;
  /** Which of these tools no call could use; all when that cannot be told. Nothing is recorded. */
  blockedTools(names: readonly string[]): Promise<ReadonlySet<string>>;
  /** An answer came to a call that was denied and never passed on. */
  brokenDenial(envelopeHash: string | null): void;
}

const DEADLINE_MS = 10_000;

export class DaemonJudge implements McpJudge {
  readonly #client: Client;
  readonly #common: object;

  constructor(socket: string, session: string, agent: string | undefined) {
    this.#client = new Client(socket);
    this.#common = {
      session_id: session,
      cwd: process.cwd(),
      harness: { kind: "mcp-proxy", hook_mode: "proxy" },
      ...(agent !== undefined && { agent_id: agent }),
    };
  }

  async judge(action: FlatAction): Promise<Ruling> {
    try {
      const answer = await this.#ask<Record<string, unknown>>("/v1/check", { ...this.#common, ...action });
      const { allowed, ask, guard, message, mode, envelope_hash: hash } = answer;
      const asks = ask === true && mode === "enforce";
      return {
        allowed: allowed === true && !asks,
        message: `${String(guard)}: ${String(message)}${asks ? " (a person must allow this)" : ""}`,
        envelopeHash: typeof hash === "string" ? hash : null,
      };
    } catch (caught) {
      const message = `the guards cannot be asked: ${asSpineError(caught).message}`;
      return { allowed: false, message, envelopeHash: null };
    }
  }

  async blockedTools(names: readonly string[]): Promise<ReadonlySet<string>> {
    try {
      const { blocked } = await this.#ask<{ blocked: string[] }>("/v1/guard/tools", { tools: names });
      return new Set(blocked);
    } catch {
      return new Set(names);
    }
  }

  brokenDenial(envelopeHash: string | null): void {
    const body = {
      harness: "mcp-proxy",
      evidence: "mcp_result",
      ...(envelopeHash !== null && { envelope_hash: envelopeHash }),
    };
    this.#ask("/v1/hooks/broken-denial", body).catch(() => undefined);
  }

  close(): void {
    this.#client.close();
  }

  async #ask<T>(path: string, body: object): Promise<T> {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    return JSON.parse(await this.#client.text({ method: "POST", path, body: JSON.stringify(body), signal })) as T;
  }
}

/** No receipts: nothing is signed or kept. */
export class PolicyJudge implements McpJudge {
  readonly #engine: GuardEngine;

  constructor(policy: LoadedPolicy) {
    this.#engine = new GuardEngine(policy);
  }

  async judge(action: FlatAction): Promise<Ruling> {
    try {
      const { action: parsed, caller } = parseAction({ cwd: process.cwd(), ...action });
      const { allowed, ask, guard, message } = await this.#engine.check(parsed, caller);
      return { allowed: allowed && !ask, message: `${guard}: ${message}`, envelopeHash: null };
    } catch (caught) {
      return { allowed: false, message: asSpineError(caught).message, envelopeHash: null };
    }
  }

  async blockedTools(names: readonly string[]): Promise<ReadonlySet<string>> {
    return blockedBy([this.#engine], names);
  }

  brokenDenial(): void {}
}

export function blockedBy(engines: readonly GuardEngine[], names: readonly string[]): ReadonlySet<string> {
  const blocked = (name: string): boolean =>
    engines.some((engine) => !engine.decide({ type: "mcp_tool", name, args: {} }, {}).allowed);
  return new Set(names.filter(blocked));
}

export class BothJudges implements McpJudge {
  readonly #judges: readonly McpJudge[];

  /** Asked in order; the first denial stands. */
  constructor(judges: readonly McpJudge[]) {
    this.#judges = judges;
  }

  async judge(action: FlatAction): Promise<Ruling> {
    let last: Ruling = { allowed: false, message: "nobody judges", envelopeHash: null };
    for (const one of this.#judges) {
      last = await one.judge(action);
      if (!last.allowed) break;
    }
    return last;
  }

  async blockedTools(names: readonly string[]): Promise<ReadonlySet<string>> {
    const sets = await Promise.all(this.#judges.map((one) => one.blockedTools(names)));
    return new Set(sets.flatMap((set) => [...set]));
  }

  brokenDenial(envelopeHash: string | null): void {
    for (const one of this.#judges) one.brokenDenial(envelopeHash);
  }
}
