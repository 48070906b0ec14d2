/** One server of the decisions benchmark, in a process of its own: `daemon DIR` or `no-op DIR`. Sends its socket. */
import { createServer } from "node:http";
import { join } from "node:path";
import { createLog, initDir, nodeDir, resolveConfig, startDaemon } from "../../node/index.ts";

const [role, folder] = process.argv.slice(2) as [string, string];

if (role === "daemon") {
  const dir = nodeDir(join(folder, "node"));
  await initDir(dir, { open: false, forceNew: false });
  const flags = { "planes.libp2p.listen": "/ip4/127.0.0.1/tcp/0", "log.level": "silent" };
  const config = resolveConfig({ file: {}, env: {}, flags });
  const daemon = await startDaemon({ dir, config, log: createLog(config.log) });
  process.once("SIGTERM", () => void daemon.stop().then(() => process.exit(0)));
  process.send?.(dir.socket);
  process.on("message", () => {
    const { user, system } = process.cpuUsage();
    process.send?.({ rssMib: process.memoryUsage.rss() / 1_048_576, cpuSeconds: (user + system) / 1e6 });
  });
} else {
  const socket = join(folder, "noop.sock");
  const server = createServer({ keepAliveTimeout: 60_000 }, (incoming, response) => {
    incoming.resume();
    incoming.once("end", () => response.end('{"allowed":true}'));
  });
  server.listen(socket, () => process.send?.(socket));
}
