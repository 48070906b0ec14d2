/**
 * Whether Codex would run our hooks: it leaves out, without a word, those that its user has not trusted with /hooks since
 * they last changed. Codex itself is asked, through its app server (`hooks/list`). `guard doctor` calls it.
 */
import { spawn } from "node:child_process";
import { homedir } from "node:os";
import { type Fields, isFields } from "./flat-action.ts";
import { lines } from "./mcp/stdio.ts";

/** From start to answer. */
const DEADLINE_MS = 20_000;
const LIST_ID = 2;

export interface ListedHook {
  /** How Codex names the hook in its own settings. */
  readonly key: string;
  readonly event: string;
  readonly hash: string;
  /** Switched on, and trusted by its user or an administrator. */
  readonly runs: boolean;
}

/** The hooks with this command; undefined when there is no Codex in the path or it does not answer. */
export async function codexHooks(command: string, signal: AbortSignal): Promise<readonly ListedHook[] | undefined> {
  const stop = AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)]);
  const child = spawn("codex", ["app-server"], { stdio: ["pipe", "pipe", "ignore"], signal: stop, cwd: homedir() });
  child.on("error", () => undefined);
  child.stdin.on("error", () => undefined);
  const send = (message: object): void => void child.stdin.write(`${JSON.stringify(message)}\n`);
  send({ id: 1, method: "initialize", params: { clientInfo: { name: "spine", version: "1" } } });
  try {
    for await (const line of lines(child.stdout)) {
      const message: unknown = JSON.parse(line.toString("utf8"));
      if (!isFields(message)) continue;
      if (message["id"] === 1) {
        send({ method: "initialized" });
        send({ id: LIST_ID, method: "hooks/list", params: { cwds: [homedir()] } });
      }
      if (message["id"] === LIST_ID) return listed(message["result"], command);
    }
  } catch {
    // Another version may speak otherwise: then it is not known.
  } finally {
    child.kill();
  }
  return undefined;
}

function fieldsIn(value: unknown): Fields[] {
  return Array.isArray(value) ? value.filter(isFields) : [];
}

function listed(result: unknown, command: string): readonly ListedHook[] {
  return fieldsIn(isFields(result) ? result["data"] : undefined)
    .flatMap((place) => fieldsIn(place["hooks"]))
    .filter((hook) => hook["command"] === command)
    .map((hook) => ({
      key: String(hook["key"]),
      event: String(hook["eventName"]),
      hash: String(hook["currentHash"]),
      runs: hook["enabled"] === true && ["trusted", "managed"].includes(String(hook["trustStatus"])),
    }));
}
