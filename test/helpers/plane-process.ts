/** A process of its own: two libp2p planes with everything switched on link, talk and stop. It must end by itself. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { libp2pPlane, never } from "./libp2p.ts";

const directory = await mkdtemp(join(tmpdir(), "spine-plane-"));
const a = libp2pPlane({ mdns: true, relay: { server: true }, datastorePath: directory });
const b = libp2pPlane();
await a.start({ signal: never });
await b.start({ signal: never });
await b.addPeer(a.addresses()[0] as string);
// Nobody listens there: the redial timer must not outlive the plane.
await b.addPeer("/ip4/127.0.0.1/tcp/1/p2p/12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo");
for await (const event of b.events()) {
  if (event.type === "up") {
    await b.send(event.link, new Uint8Array(100_000), { signal: never });
    break;
  }
}
for await (const event of a.events()) {
  if (event.type === "frame") break;
}
await a.stop();
await b.stop();
await rm(directory, { recursive: true });
