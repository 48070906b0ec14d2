/** One side of the hypercore baseline: `make DIR BLOCKS`, `source DIR` or `sink DIR`; packages come from SPINE_BENCH_MODULES. */
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import { join } from "node:path";

interface Core {
  readonly key: Buffer;
  readonly length: number;
  ready(): Promise<void>;
  append(blocks: readonly Buffer[]): Promise<void>;
  replicate(initiator: boolean, options?: object): NodeJS.ReadWriteStream;
  download(range: { start: number; end: number }): { done(): Promise<void> };
  update(options: { wait: boolean }): Promise<boolean>;
  close(): Promise<void>;
}
type CoreClass = new (folder: string, key?: Buffer | null) => Core;

const require = createRequire(join(process.env["SPINE_BENCH_MODULES"] ?? "", "index.js"));
const Hypercore = require("hypercore") as CoreClass;
const [role, folder, blocks] = process.argv.slice(2) as [string, string, string];
const BLOCK_BYTES = 700;

if (role === "make") {
  const core = new Hypercore(folder);
  await core.ready();
  for (let done = 0; done < Number(blocks); done += 256) {
    await core.append(Array.from({ length: 256 }, (_, i) => Buffer.alloc(BLOCK_BYTES, `${done + i}`)));
  }
  await core.close();
  process.send?.({ made: true });
  process.disconnect();
} else if (role === "source") {
  const core = new Hypercore(folder);
  await core.ready();
  const server = createServer((socket) => {
    const stream = core.replicate(false);
    socket.pipe(stream).pipe(socket);
    socket.on("error", () => {});
    stream.on("error", () => {});
  });
  server.listen(0, "127.0.0.1", () => {
    const address = server.address() as { port: number };
    process.send?.({ port: address.port, key: core.key.toString("hex") });
  });
} else {
  process.send?.({ ready: true });
  process.once("message", async (message: { port: number; key: string; blocks: number }) => {
    const core = new Hypercore(folder, Buffer.from(message.key, "hex"));
    await core.ready();
    const started = performance.now();
    const socket = connect(message.port, "127.0.0.1");
    const stream = core.replicate(true);
    socket.pipe(stream).pipe(socket);
    socket.on("error", () => {});
    stream.on("error", () => {});
    await core.update({ wait: true });
    await core.download({ start: 0, end: message.blocks }).done();
    const seconds = (performance.now() - started) / 1000;
    process.send?.({ seconds, peakRssMb: Math.round(process.resourceUsage().maxRSS / 1024) });
  });
}
