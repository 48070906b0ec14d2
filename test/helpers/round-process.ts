/**
 * A node in a process that kills itself at a durable write: `round-process.js ROLE DIRECTORY KILL MODE VKEY URL FROM`.
 * Every commit, tile and small file counts, FROM `start` or once the node is `open`. KILL 0: never; MODE `after` the write is done, or `during`. As `log` it
 * publishes a fact and ends with 0 once that is under a published checkpoint; as `witness` it serves add-checkpoint.
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { LevelStore } from "../../storage/index.ts";

const [role, directory, kill, mode, vkey, url, from] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string?,
  string?,
  string?,
];
const limit = Number(kill);
let writes = 0;
let counts = from === "start";

function die(): void {
  process.kill(process.pid, "SIGKILL");
}

async function counted<T>(write: () => Promise<T>): Promise<T> {
  if (!counts) return write();
  const isLast = ++writes === limit;
  if (isLast && mode === "during") setImmediate(die);
  const done = await write();
  if (isLast) {
    die();
    await new Promise(() => {});
  }
  return done;
}

const store = LevelStore.prototype;
for (const name of ["commit", "putTiles"] as const) {
  const real = store[name] as (...args: unknown[]) => Promise<void>;
  Object.defineProperty(store, name, {
    value(this: LevelStore, ...args: unknown[]): Promise<void> {
      return counted(() => real.apply(this, args));
    },
  });
}
const { rename } = fs.promises;
fs.promises.rename = (from, to) => counted(() => rename(from, to));
syncBuiltinESMExports();

// Only now: what they import from node:fs/promises is the counting one.
const { Runtime } = await import("../../node/runtime.ts");
const { nodeDir } = await import("../../node/dir.ts");
const { resolveConfig } = await import("../../node/config.ts");

const flags: Record<string, string> = { "planes.libp2p.enabled": "false" };
if (role === "witness") flags["transparency.witness.logs"] = vkey as string;
else {
  flags["transparency.publicWitnesses"] = `${vkey} ${url}`;
  flags["transparency.publicQuorum"] = "1";
}

let published: () => void = () => {};
const isPublished = new Promise<void>((resolve) => {
  published = resolve;
});
const runtime = await Runtime.open({
  dir: nodeDir(directory),
  config: resolveConfig({ file: {}, env: {}, flags }),
  onEvent: () => {},
  onTransparency: (event) => {
    if (event.type === "checkpoint" && event.record.statement.size > leaves) published();
    if (event.type === "log-stopped") {
      process.stderr.write(`${event.error.code}: ${event.error.message}\n`);
      process.exit(3);
    }
  },
});
counts = true;
let leaves = runtime.transparency.keeper.leaves;
if (role === "witness") {
  const { PublicServer } = await import("../../node/api/public.ts");
  const { TransparencyApi } = await import("../../node/api/transparency.ts");
  const api = new TransparencyApi(runtime.store, runtime.transparency);
  const answer = api.answer.bind(api);
  const server = new PublicServer({ listen: "127.0.0.1:0", requestsPerSecond: 10_000, answer, now: Date.now });
  process.stdout.write(`${await server.start()}\n`);
} else {
  runtime.keepLog();
  const outcomes = await runtime.publisher.publish([
    { schema: "aegis.spine.fact.note.v1", text: `life ${kill} ${mode}` },
  ]);
  if (!outcomes.every(({ ok }) => ok)) throw new Error(JSON.stringify(outcomes));
  leaves = runtime.transparency.keeper.leaves - 1;
  const deadline = setTimeout(() => process.exit(4), 30_000);
  await isPublished;
  clearTimeout(deadline);
  await runtime[Symbol.asyncDispose]();
  process.stdout.write(`${writes}\n`, () => process.exit(0));
}
