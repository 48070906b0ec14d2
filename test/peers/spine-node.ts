/** A node of ours that speaks the lines of `rns_node.py`, so that the bench drives both alike. Argument: one interface as JSON. */
import { randomFillSync } from "node:crypto";
import { createInterface } from "node:readline";
import type { Interface } from "../../planes/reticulum/interfaces/interface.ts";
import { type KissTncOptions, kissTnc } from "../../planes/reticulum/interfaces/kiss-tnc.ts";
import { type SerialInterfaceOptions, serialInterface } from "../../planes/reticulum/interfaces/serial.ts";
import { type TcpOptions, TcpServerInterface, tcpClient } from "../../planes/reticulum/interfaces/tcp.ts";
import { UdpInterface, type UdpOptions } from "../../planes/reticulum/interfaces/udp.ts";
import { Destination } from "../../planes/reticulum/stack/destination.ts";
import { Identity } from "../../planes/reticulum/stack/identity.ts";
import type { Link } from "../../planes/reticulum/stack/link.ts";
import { SINGLE } from "../../planes/reticulum/stack/name.ts";
import { Station } from "../../planes/reticulum/station.ts";
import { systemRandom } from "../../planes/reticulum/system-random.ts";
import { fromHex, toHex } from "../../spine/index.ts";

type Config = { readonly type: string } & TcpOptions & UdpOptions & SerialInterfaceOptions & KissTncOptions;

interface Command {
  readonly do: string;
  readonly hash: string;
  readonly data: string;
  readonly size: number;
  readonly appData?: string;
}

const MAKERS: Readonly<Record<string, (config: Config) => Interface>> = {
  "tcp-server": (config) => new TcpServerInterface(config),
  "tcp-client": tcpClient,
  udp: (config) => new UdpInterface(config),
  serial: serialInterface,
  kiss: kissTnc,
};

function emit(event: string, fields: Readonly<Record<string, unknown>> = {}): void {
  process.stdout.write(
    `${JSON.stringify({ event, t: (performance.timeOrigin + performance.now()) / 1000, ...fields })}\n`,
  );
}

const config = JSON.parse(process.argv[2] ?? "{}") as Config;
const make = MAKERS[config.type];
if (make === undefined) throw new Error(`unknown interface type ${config.type}`);
const station = new Station({ random: systemRandom }, [make(config)]);
const { endpoint } = station;
const identity = Identity.create(systemRandom);
const mine = new Destination({ type: SINGLE, appName: "interop", aspects: ["python"], identity });
mine.proofs = "all";
mine.requests.register({ path: "/echo", allow: "all", handle: ({ data }, respond) => respond(data) });
let link: Link | undefined;
mine.onLink = (opened) => {
  link = opened;
  opened.acceptResource = () => true;
  opened.onResource = (resource) => emit("resource", { ok: true, size: resource.data.length });
  opened.onClosed = () => emit("link-closed");
  emit("link", { mtu: opened.mtu });
};
endpoint.onAnnounce({
  pathResponses: true,
  heard: ({ destination, appData, hops }) =>
    emit("announce", { hash: toHex(destination), appData: toHex(appData), hops }),
});

const now = (): number => performance.now();
const COMMANDS: Readonly<Record<string, (command: Command) => void>> = {
  announce: (command) => {
    const at = (performance.timeOrigin + performance.now()) / 1000;
    endpoint.announce(mine, { appData: fromHex(command.appData ?? "") });
    emit("announced", { at });
  },
  packet: (command) => {
    const started = now();
    const receipt = endpoint.send(fromHex(command.hash), fromHex(command.data));
    receipt.onDelivered = () => emit("proved", { took: (now() - started) / 1000 });
    receipt.onFailed = () => emit("unproved");
  },
  link: (command) => {
    const started = now();
    const opened = endpoint.openLink(fromHex(command.hash));
    link = opened;
    opened.onEstablished = () => emit("link-up", { took: (now() - started) / 1000, mtu: opened.mtu });
    opened.onClosed = () => emit("link-closed");
  },
  request: (command) => {
    const started = now();
    const request = (link as Link).request("/echo", fromHex(command.data));
    request.onResponse = () => emit("response", { took: (now() - started) / 1000 });
    request.onFailed = () => emit("request-failed");
  },
  resource: (command) => {
    const data = randomFillSync(new Uint8Array(command.size));
    const started = now();
    const resource = (link as Link).sendResource(data);
    resource.onConcluded = () =>
      emit("resource-sent", { ok: resource.state === "complete", took: (now() - started) / 1000 });
  },
  close: () => {
    link?.close();
    emit("closing");
  },
  memory: () => emit("memory", { rss: process.resourceUsage().maxRSS / 1024 }),
  quit: () => process.exit(0),
};

await station.start();
station.act(() => endpoint.register(mine));
emit("ready", { hash: mine.hex, identity: identity.hex });
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line) as Command;
  try {
    station.act(() => COMMANDS[command.do]?.(command));
  } catch (caught) {
    emit("error", { what: command.do, message: String(caught) });
  }
}
