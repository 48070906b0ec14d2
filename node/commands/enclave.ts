/**
 * `spine enclave helper`, the small privileged process that owns the WireGuard interface and has its own systemd unit;
 * `spine enclave status` and `rotate`, through the daemon.
 */
import { wireguard } from "../../planes/index.ts";
import { SpineError } from "../../spine/index.ts";
import type { EnclaveReport } from "../enclave/service.ts";
import { askEnclave } from "../enclave/session.ts";
import { createNotifier } from "../notify.ts";
import type { Verb, VerbContext } from "./verb.ts";

const DEFAULT_SOCKET = "/run/spine-enclave/helper.sock";
const DEFAULT_INTERFACE = "spine0";
const DEFAULT_PORT = 51_820;
const DEFAULT_PEERS = 1_024;
const DEFAULT_GRACE_SECONDS = 30;

function whole(context: VerbContext, name: string, fallback: number, most: number): number {
  const text = context.text(name);
  if (text === undefined) return fallback;
  if (!/^\d{1,6}$/.test(text) || Number(text) > most) {
    throw new SpineError("usage", `--${name}: expected a number up to ${most}`);
  }
  return Number(text);
}

function backendKind(context: VerbContext): wireguard.BackendKind {
  const kind = context.text("backend") ?? "auto";
  if (kind !== "auto" && kind !== "kernel" && kind !== "userspace") {
    throw new SpineError("usage", "--backend: expected auto, kernel or userspace");
  }
  return kind;
}

export const enclaveHelper: Verb = {
  usage: "enclave helper --network NET [--interface NAME] [--listen-port N] [--adopt]",
  about:
    "Keeps one WireGuard interface for a daemon that has no privileges. Needs CAP_NET_ADMIN and nothing else;\n" +
    "serves only this interface, network and port, to whoever can read the token beside its socket.",
  examples: [
    "spine enclave helper --network 10.77.0.0/24",
    "spine enclave helper --network 10.77.0.0/24 --adopt --interface wg0",
  ],
  options: {
    network: { type: "string", value: "NET", help: "The enclave's network, such as 10.77.0.0/24." },
    interface: {
      type: "string",
      value: "NAME",
      help: `The interface; one of its own is named spine…; ${DEFAULT_INTERFACE} if omitted.`,
    },
    "listen-port": { type: "string", value: "N", help: `UDP port of the interface; ${DEFAULT_PORT} if omitted.` },
    socket: { type: "string", value: "PATH", help: `Where the daemon connects; ${DEFAULT_SOCKET} if omitted.` },
    adopt: { type: "boolean", help: "The interface is somebody else's: read it, never change it." },
    backend: {
      type: "string",
      value: "KIND",
      help: "auto (the kernel's WireGuard if it has one), kernel or userspace.",
    },
    "max-peers": { type: "string", value: "N", help: `Peers at most; ${DEFAULT_PEERS} if omitted.` },
    grace: {
      type: "string",
      value: "S",
      help: `Seconds without a daemon until the interface is taken down; ${DEFAULT_GRACE_SECONDS} if omitted.`,
    },
  },
  operands: { least: 0, most: 0 },
  async run(context) {
    const { out, json, note, signal, env } = context;
    const network = context.text("network");
    if (network === undefined) throw new SpineError("usage", "--network is missing");
    const interfaceName = context.text("interface") ?? DEFAULT_INTERFACE;
    const kind = backendKind(context);
    const owned = !context.flag("adopt");
    const settings: wireguard.HelperSettings = {
      socketPath: context.text("socket") ?? DEFAULT_SOCKET,
      interfaceName,
      owned,
      network: wireguard.parseNetwork(network),
      listenPort: whole(context, "listen-port", DEFAULT_PORT, 65_535),
      maxPeers: whole(context, "max-peers", DEFAULT_PEERS, wireguard.MAX_DEVICE_PEERS),
      graceMs: whole(context, "grace", DEFAULT_GRACE_SECONDS, 86_400) * 1_000,
      log: (event, fields) => note(`${event} ${JSON.stringify(fields)}`),
    };
    const helper = new wireguard.HelperServer(settings, (gone) =>
      owned ? new wireguard.OwnedBackend(interfaceName, kind, gone) : new wireguard.AdoptedBackend(interfaceName),
    );
    await helper.start();
    const notifier = createNotifier(env);
    notifier.ready();
    const { socketPath } = settings;
    await out.line(
      json
        ? { ready: true, socket: socketPath, interface: interfaceName, owned }
        : `Serving ${interfaceName} on ${socketPath}`,
    );
    if (!signal.aborted)
      await new Promise<void>((done) => signal.addEventListener("abort", () => done(), { once: true }));
    notifier.stopping();
    await helper.stop();
    return 0;
  },
};

function readable(report: EnclaveReport): string {
  const { failure, absent, next_key: next, next_key_at: at } = report;
  const lines = [
    `interface  ${report.interface} (${report.owned ? "kept" : "adopted"})  ${report.up ? "up" : "down"}  mtu ${report.mtu}`,
    `address    ${report.address} in ${report.network}`,
    `key        ${report.public_key ?? "-"}`,
    ...(next === null ? [] : [`next key   ${next} from ${at ?? "-"}`]),
    ...absent.map(({ issuer, reason }) => `absent     ${issuer}  ${reason}`),
    ...(failure === null ? [] : [`problem    ${failure.code}: ${failure.message}. ${failure.hint}`]),
    `card       ${report.card ?? "(not published yet)"}`,
  ];
  return `${lines.join("\n")}\n`;
}

export const enclaveStatus: Verb = {
  usage: "enclave status",
  about: "Prints the WireGuard interface, who is not let in and why, and this node's card. Peers: spine peers list.",
  examples: ["spine enclave status", "spine enclave status --json"],
  operands: { least: 0, most: 0 },
  async run({ dir, out, json }) {
    const report = await askEnclave(dir, "report");
    if (json) await out.line(report);
    else await out.write(readable(report));
    return report.failure === null ? 0 : 1;
  },
};

export const enclaveRotate: Verb = {
  usage: "enclave rotate",
  about:
    "Makes a new transport key, tells the peers, and lets it take over after planes.wireguard.rotationSeconds. Peers\n" +
    "that are away all that time learn the new key over another plane, or by the new card.",
  examples: ["spine enclave rotate"],
  operands: { least: 0, most: 0 },
  async run({ dir, out, json }) {
    const report = await askEnclave(dir, "rotate");
    if (json) await out.line(report);
    else await out.write(readable(report));
    return 0;
  },
};
