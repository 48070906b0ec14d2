/** A transport node of ours on one TCP port, in a process of its own; used by `reticulum-transport.ts`. */
import { reticulum } from "../../planes/index.ts";

const port = Number(process.argv[2]);
const random = reticulum.systemRandom;
const identity = reticulum.Identity.create(random);
const policy = { announceRate: null, ingressControl: false };
const server = new reticulum.TcpServerInterface({ name: "hub", host: "127.0.0.1", port, policy });
const station = new reticulum.Station({ random, identity, transport: true }, [server]);
await station.start();
process.stdout.write(`${JSON.stringify({ event: "ready" })}\n`);
process.stdin.on("data", () => {
  const { endpoint } = station;
  process.stdout.write(
    `${JSON.stringify({ event: "tables", known: endpoint.known.size, paths: endpoint.paths.size, rss: process.memoryUsage.rss() })}\n`,
  );
});
process.stdin.on("end", () => process.exit(0));
