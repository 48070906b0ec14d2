/**
 * One end of the enclave bench, inside a namespace: the plane over a real tunnel, and beside it a bare TCP stream in the
 * same tunnel. Speaks JSON lines on stdin and stdout. Arguments: helper socket, interface, own host number, endpoint.
 */
import { randomBytes } from "node:crypto";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";
import { wireguard } from "../../planes/index.ts";
import { toHex } from "../../spine/index.ts";
import { bindingSigner } from "../helpers/enclave.ts";
import { nativeSha256Hex, nativeVerify } from "../helpers/sim-ports.ts";

const RAW_PORT = 5_001;
const FRAME_BYTES = 64 * 1_024;
const [socketPath = "", interfaceName = "", host = "", endpoint = ""] = process.argv.slice(2);
const never = new AbortController().signal;
const privateKey = new Uint8Array(randomBytes(32));
const address = `10.77.0.${host}`;
const fields = {
  publicKey: toHex(wireguard.publicKeyOf(privateKey)),
  nextKey: null,
  address,
  port: 4_811,
  endpoints: [endpoint],
};
const { issuer, bind } = bindingSigner(fields);
const card = wireguard.writeCard(bind(1), nativeSha256Hex);
const plane = new wireguard.WireguardPlane({
  device: new wireguard.HelperClient({ socketPath, interfaceName, owned: true }),
  privateKey,
  network: "10.77.0.0/24",
  address,
  port: 4_811,
  listenPort: 51_820,
  mtuBytes: 1_420,
  keepaliveSeconds: 25,
  issuer,
  card: () => card,
  verify: nativeVerify,
  sha256Hex: nativeSha256Hex,
});
const say = (value: object): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

let link = "";
let expected = 0;
let received = 0;
let answered: () => void = () => {};

async function consume(): Promise<void> {
  for await (const event of plane.events()) {
    if (event.type === "up") {
      link = event.link;
      say({ up: true });
    } else if (event.type === "frame") {
      if (event.frame.length === 1) answered();
      else if (event.frame.length === 4) {
        expected = Buffer.from(event.frame).readUInt32BE();
        received = 0;
      } else {
        received += event.frame.length;
        if (received === expected) await plane.send(link, Uint8Array.of(1), { signal: never });
      }
    }
  }
}

/** Seconds until the other end has everything. */
async function throughPlane(bytes: number): Promise<number> {
  const frame = new Uint8Array(randomBytes(FRAME_BYTES));
  const done = new Promise<void>((resolve) => {
    answered = resolve;
  });
  const head = Buffer.alloc(4);
  head.writeUInt32BE(bytes);
  const start = performance.now();
  await plane.send(link, head, { signal: never });
  for (let sent = 0; sent < bytes; sent += FRAME_BYTES) await plane.send(link, frame, { signal: never });
  await done;
  return (performance.now() - start) / 1_000;
}
async function throughTcp(bytes: number, to: string): Promise<number> {
  const chunk = randomBytes(FRAME_BYTES);
  const socket = connect({ host: to, port: RAW_PORT, localAddress: address, noDelay: true });
  await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  const done = new Promise<void>((resolve) => socket.once("data", () => resolve()));
  const start = performance.now();
  const head = Buffer.alloc(4);
  head.writeUInt32BE(bytes);
  socket.write(head);
  for (let sent = 0; sent < bytes; sent += FRAME_BYTES) {
    if (!socket.write(chunk)) await new Promise((resolve) => socket.once("drain", resolve));
  }
  await done;
  socket.destroy();
  return (performance.now() - start) / 1_000;
}

await plane.start({ signal: never });
void consume();
createServer((socket) => {
  let [left, wanted] = [0, -1];
  socket.on("error", () => undefined);
  socket.on("data", (data: Buffer) => {
    if (wanted < 0) {
      wanted = data.readUInt32BE();
      left = wanted + 4;
    }
    left -= data.length;
    if (left === 0) socket.write("x");
  });
}).listen(RAW_PORT, address);
say({ card });
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line) as { do: string; card?: string; bytes?: number; to?: string };
  if (command.do === "peer") await plane.addPeer(command.card as string);
  else if (command.do === "plane") say({ seconds: await throughPlane(command.bytes as number) });
  else if (command.do === "tcp") say({ seconds: await throughTcp(command.bytes as number, command.to as string) });
}
await plane.stop();
process.exit();
