/**
 * Asks the node before an agent acts. No dependencies: copy this file into your harness.
 *
 *   import { GuardClient } from "./guard-client.mjs";
 *   const guard = new GuardClient({ socket: `${process.env.HOME}/.spine/api.sock`, agent: "my-agent" });
 *   const answer = await guard.check({ action_type: "shell", target: "git push" });
 *   if (!answer.allowed) throw new Error(answer.message);
 *
 * `check` never throws and never waits beyond its deadline: whatever goes wrong is an answer with `allowed: false`.
 */
import { Agent, request } from "node:http";

/** Connections that went away between two requests, before a byte of an answer: asking again is safe, at worst there is one receipt more. */
const STALE = new Set(["ECONNRESET", "EPIPE"]);
const MAX_ANSWER_BYTES = 4_194_304;

export class GuardClient {
  #socket;
  #common;
  #deadlineMs;
  // Kept connections save about a third of the time; the node closes idle ones after 60 s.
  #agent = new Agent({ keepAlive: true, maxSockets: 8, timeout: 30_000 });

  /** `deadlineMs` should be shorter than the harness's own, whose time-out may let the tool run. */
  constructor({ socket, agent, session, deadlineMs = 5_000 }) {
    this.#socket = socket;
    this.#common = { ...(agent && { agent_id: agent }), ...(session && { session_id: session }) };
    this.#deadlineMs = deadlineMs;
  }

  /** `action`: `{action_type, target, content?, args?, payload?, cwd?, …}` as `POST /v1/check` takes it. */
  async check(action) {
    const body = JSON.stringify({ cwd: process.cwd(), ...this.#common, ...action });
    const signal = AbortSignal.timeout(this.#deadlineMs);
    try {
      return await this.#ask(body, signal).catch((error) => {
        if (!STALE.has(error.code) || signal.aborted) throw error;
        return this.#ask(body, signal);
      });
    } catch (error) {
      const message = signal.aborted
        ? "The guards did not answer in time"
        : `The guards cannot be asked: ${error.message}`;
      return {
        allowed: false,
        verdict: "deny",
        ask: false,
        guard: "client",
        severity: "critical",
        reason: "unreachable",
        message,
      };
    }
  }

  close() {
    this.#agent.destroy();
  }

  #ask(body, signal) {
    return new Promise((resolve, reject) => {
      const headers = {
        host: "localhost",
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
      };
      const options = {
        socketPath: this.#socket,
        agent: this.#agent,
        method: "POST",
        path: "/v1/check",
        headers,
        signal,
      };
      const outgoing = request(options, (incoming) => {
        const parts = [];
        let bytes = 0;
        incoming.on("data", (part) => {
          parts.push(part);
          bytes += part.length;
          if (bytes > MAX_ANSWER_BYTES) incoming.destroy(new Error("the answer is too long"));
        });
        incoming.once("error", reject);
        incoming.once("end", () => {
          try {
            const answer = JSON.parse(Buffer.concat(parts).toString("utf8"));
            // Only a 200 that says so allows.
            resolve({ message: "denied", ...answer, allowed: incoming.statusCode === 200 && answer.allowed === true });
          } catch (error) {
            reject(error);
          }
        });
      });
      outgoing.once("error", reject);
      outgoing.end(body);
    });
  }
}
