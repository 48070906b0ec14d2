/**
 * `spine guard hook HARNESS`: carries the payload from standard input to the daemon and its answer back. CommonJS, with
 * nothing but `node:net` and `node:fs`, since an agent waits for it at every step. Whatever goes wrong ends with exit code
 * 2, which all harnesses take as a denial, and the reason on standard error.
 */
const { connect } = require("node:net") as typeof import("node:net");
const { readFileSync, writeSync } = require("node:fs") as typeof import("node:fs");

const HARNESSES = ["claude-code", "codex", "cursor", "gemini-cli"];
/** As the daemon takes at most. */
const MAX_PAYLOAD_BYTES = 16_777_216;
const MAX_ANSWER_BYTES = 1_048_576;
/** Shorter than what `spine guard install` grants the hook in the harness's settings. */
const DEADLINE_MS = 8_000;

let harness = "";
let ended = false;

function say(stream: 1 | 2, text: string): void {
  let bytes = Buffer.from(text);
  const giveUp = Date.now() + 1_000;
  while (bytes.length > 0 && Date.now() < giveUp) {
    try {
      bytes = bytes.subarray(writeSync(stream, bytes));
    } catch (error) {
      // A pipe that is full for now; one that is closed has no reader to inform.
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") return;
    }
  }
}

function end(code: 0 | 2, stdout: string, stderr: string): void {
  if (ended) return;
  ended = true;
  if (stdout !== "") say(1, `${stdout}\n`);
  if (stderr !== "") say(2, `${stderr}\n`);
  process.exit(code);
}

function block(why: string): void {
  const reason = `Spine: denied, since the guards cannot be asked (${why})`;
  const body =
    harness === "cursor"
      ? { permission: "deny", continue: false, user_message: reason, agent_message: reason }
      : harness === "gemini-cli"
        ? { decision: "deny", reason }
        : {
            hookSpecificOutput: {
              hookEventName: "PreToolUse",
              permissionDecision: "deny",
              permissionDecisionReason: reason,
            },
          };
  end(2, JSON.stringify(body), reason);
}

/** What the daemon wrote about itself when it started, else its usual place. */
function socketOf(dir: string): string {
  try {
    const { socket } = JSON.parse(readFileSync(`${dir}/daemon.json`, "utf8")) as { socket?: unknown };
    if (typeof socket === "string") return socket;
  } catch {
    // Absent or half gone: asking at the usual place tells more.
  }
  return `${dir}/api.sock`;
}

interface Asked {
  readonly socket: string;
  readonly deadlineMs: number;
}

function readArguments(words: readonly string[]): Asked {
  let dir = process.env["SPINE_DIR"] || `${process.env["HOME"] ?? ""}/.spine`;
  let socket: string | undefined;
  let deadlineMs = DEADLINE_MS;
  for (let i = 0; i < words.length; i++) {
    const [name, joined] = (words[i] as string).split(/=(.*)/s, 2) as [string, string | undefined];
    if (!name.startsWith("--")) {
      if (harness !== "" || !HARNESSES.includes(name))
        throw new Error(`unknown harness ${name}; known: ${HARNESSES.join(", ")}`);
      harness = name;
      continue;
    }
    if (name === "--json") continue;
    const value = joined ?? words[++i];
    if (value === undefined || value === "") throw new Error(`${name} needs a value`);
    if (name === "--dir") dir = value;
    else if (name === "--socket") socket = value;
    else if (name === "--deadline-ms" && /^[1-9]\d{0,5}$/.test(value)) deadlineMs = Number(value);
    else throw new Error(`unknown option ${name}`);
  }
  if (harness === "") throw new Error(`no harness named; known: ${HARNESSES.join(", ")}`);
  return { socket: socket ?? socketOf(dir), deadlineMs };
}

/** Connects at once, while the payload is still coming. */
function connectTo(socketPath: string): import("node:net").Socket {
  const parts: Buffer[] = [];
  let bytes = 0;
  const socket = connect(socketPath);
  socket.on("error", (error) => block(`no daemon answers at ${socketPath}: ${error.message}`));
  socket.on("data", (part) => {
    parts.push(part);
    bytes += part.length;
    if (bytes > MAX_ANSWER_BYTES) block("the answer is too long");
  });
  socket.on("close", () => finish(Buffer.concat(parts)));
  return socket;
}

function ask(socket: import("node:net").Socket, payload: Buffer): void {
  socket.write(
    `POST /v1/hooks/${harness}/process HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n` +
      `content-type: application/json\r\ncontent-length: ${payload.length}\r\n\r\n`,
  );
  socket.write(payload);
}

/** Only a whole answer that says so lets anything pass. */
function finish(answer: Buffer): void {
  const at = answer.indexOf("\r\n\r\n");
  const head = at < 0 ? "" : answer.toString("latin1", 0, at);
  const length = /\r\ncontent-length: (\d+)(?:\r|$)/i.exec(head)?.[1];
  if (!/^HTTP\/1\.1 200 /.test(head) || length === undefined || answer.length !== at + 4 + Number(length))
    return block("the daemon broke off or gave no usable answer");
  try {
    const { exit, stdout, stderr } = JSON.parse(answer.toString("utf8", at + 4)) as Record<string, unknown>;
    if ((exit !== 0 && exit !== 2) || typeof stdout !== "string" || typeof stderr !== "string")
      return block("the daemon's answer is not understood");
    end(exit, stdout, stderr);
  } catch {
    block("the daemon's answer is not understood");
  }
}

function main(words: readonly string[]): void {
  process.on("uncaughtException", (error) => block(error.message));
  process.on("SIGTERM", () => block("it was told to end"));
  let asked: Asked;
  try {
    asked = readArguments(words);
  } catch (error) {
    return block((error as Error).message);
  }
  const { deadlineMs } = asked;
  const socket = connectTo(asked.socket);
  setTimeout(() => block(`no answer within ${deadlineMs} ms`), deadlineMs);
  const parts: Buffer[] = [];
  let bytes = 0;
  process.stdin.on("data", (part: Buffer) => {
    parts.push(part);
    bytes += part.length;
    if (bytes > MAX_PAYLOAD_BYTES) block(`a payload of more than ${MAX_PAYLOAD_BYTES} bytes`);
  });
  process.stdin.on("error", (error) => block(`the payload cannot be read: ${error.message}`));
  process.stdin.on("end", () => ask(socket, Buffer.concat(parts)));
}

// From the command line `guard hook` come first.
main(process.argv.slice(process.argv[2] === "guard" ? 4 : 2));
