/**
 * A process inside a namespace: a node in an enclave that also hears a far node over the Reticulum plane, on a wire of
 * 1,200 bit/s. The far node revokes a member of the enclave. Arguments: helper socket, interface, directory, a member's card and issuer.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Enclave } from "../../node/enclave/enclave.ts";
import { confirmTrust, initDir, nodeDir, resolveConfig } from "../../node/index.ts";
import { Runtime } from "../../node/runtime.ts";
import { Admission, type JsonObject } from "../../spine/index.ts";
import { never } from "../helpers/libp2p.ts";
import { busPlane, MemoryBus } from "../helpers/reticulum-bus.ts";

const [helper = "", interfaceName = "", folder = "", card = "", member = ""] = process.argv.slice(2);
const say = (value: object): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
const bus = new MemoryBus({ bitrate: 1_200, hardwareMtu: 500, medium: "line" });

/** `revoker`, by default the node itself, may revoke nodes. */
async function node(name: string, wireguard: object, revoker?: string): Promise<Runtime> {
  const dir = nodeDir(join(folder, name));
  const { issuer } = await initDir(dir, { open: false, forceNew: false });
  await writeFile(dir.trust, `revokers:\n  - key: ${revoker ?? issuer}\n    scope: [node]\n`, { mode: 0o600 });
  await confirmTrust({ file: dir.trust, accepted: dir.trustAccepted });
  const config = resolveConfig({ file: { planes: { wireguard } }, env: {}, flags: {} });
  let runtime: Runtime | undefined;
  runtime = await Runtime.open({
    dir,
    config,
    onEvent: (event) => {
      if (event.type === "stored") runtime?.enclave?.stored(event.run);
      if (event.type === "authority") {
        runtime?.enclave?.refresh();
        if (name === "near") say({ authority: event.cause, at: Date.now() });
      }
    },
  });
  return runtime;
}

const far = await node("far", {});
const settings = { enabled: true, interface: interfaceName, helper, address: "10.77.0.1", peers: [card] };
const near = await node("near", settings, far.issuer);
await near.admit(far.issuer, Admission.allowed);
const planes = [busPlane(bus), busPlane(bus)] as const;
for (const [i, runtime] of [near, far].entries()) {
  const plane = planes[i] as (typeof planes)[number];
  await plane.start({ signal: never });
  runtime.planes.push(plane);
  runtime.driver.attach(plane);
}
near.enclave = await Enclave.start(
  { runtime: near, config: near.config.planes.wireguard, log: () => undefined },
  never,
);
await planes[0].addPeer(planes[1].addresses()[0] as string);
say({ ready: true });
process.stdin.once("data", () => {
  const targets = [{ type: "node_id", value: member }];
  const fact = { schema: "aegis.spine.fact.revocation.v1", fact_id: "r1", reason: "stolen", targets };
  far.publisher.publish([fact as unknown as JsonObject]).then(
    ([outcome]) => say({ published: outcome }),
    (error: Error) => say({ error: error.message }),
  );
});
process.stdin.once("end", () => {
  void Promise.all([near.close(), far.close()]).then(() => process.exit());
});
