/**
 * Makes, reads, changes and removes the helper's one interface: the kernel's WireGuard where it exists, else a
 * `wireguard-go` that it watches over; or reads one that is somebody else's. Runs with CAP_NET_ADMIN, in the helper only.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { access } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { fromHex, SpineError, toHex } from "../../spine/index.ts";
import { runTool, TOOL_ENVIRONMENT } from "./command.ts";
import type { DeviceSettings, DeviceState, PeerChange } from "./device.ts";
import { formatNetwork, type Network, networkOf } from "./ip.ts";
import { publicKeyOf } from "./transport-key.ts";
import { deviceRequest, GET_REQUEST, peerRequest, readGetReply, readSetReply } from "./uapi.ts";
import { controlSocketOf, uapiRequest } from "./uapi-socket.ts";
import { wgRead, wgSetKey, wgSetPeer } from "./wg-tool.ts";

export interface Backend {
  up(settings: DeviceSettings): Promise<void>;
  get(): Promise<DeviceState>;
  set(change: PeerChange): Promise<void>;
  down(): Promise<void>;
  /** Networks of the host's other interfaces and routes. */
  localNetworks(): Promise<readonly Network[]>;
}

const START_MS = 5_000;
const POLL_MS = 25;

/** "auto": the kernel's if it has one. */
export type BackendKind = "auto" | "kernel" | "userspace";

export class OwnedBackend implements Backend {
  readonly #name: string;
  readonly #socket: string;
  readonly #gone: () => void;
  #kind: BackendKind;
  #child: ChildProcess | null = null;

  /** `gone` is told when a watched process ended on its own. */
  constructor(interfaceName: string, kind: BackendKind, gone: () => void) {
    this.#name = interfaceName;
    this.#socket = controlSocketOf(interfaceName);
    this.#kind = kind;
    this.#gone = gone;
  }

  async up(settings: DeviceSettings): Promise<void> {
    if (!(await this.#alive())) await this.#make();
    if (this.#kind === "kernel") await wgSetKey(this.#name, settings.privateKey, settings.listenPort);
    else {
      const request = deviceRequest({ privateKey: toHex(settings.privateKey), listenPort: settings.listenPort });
      readSetReply(await uapiRequest(this.#socket, request));
    }
    await this.#address(settings.address);
    await runTool("ip", ["link", "set", "dev", this.#name, "mtu", String(settings.mtuBytes), "up"]);
  }

  async get(): Promise<DeviceState> {
    if (this.#kind === "kernel") return wgRead(this.#name);
    const { privateKey, listenPort, peers } = readGetReply(await uapiRequest(this.#socket, GET_REQUEST));
    return { publicKey: privateKey === null ? null : toHex(publicKeyOf(fromHex(privateKey, 32))), listenPort, peers };
  }

  async set(change: PeerChange): Promise<void> {
    if (this.#kind === "kernel") return wgSetPeer(this.#name, change);
    readSetReply(await uapiRequest(this.#socket, peerRequest(change)));
  }

  async down(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child !== null && child.exitCode === null && child.signalCode === null) {
      const ended = new Promise<void>((done) => child.once("exit", () => done()));
      child.kill("SIGTERM");
      await Promise.race([ended, sleep(START_MS)]);
      child.kill("SIGKILL");
    } else if (await this.#alive()) await runTool("ip", ["link", "delete", "dev", this.#name]);
  }

  localNetworks(): Promise<readonly Network[]> {
    return localNetworks(this.#name);
  }

  /** Whether a WireGuard interface of this name answers. */
  async #alive(): Promise<boolean> {
    if (this.#kind !== "kernel") {
      const answer = await uapiRequest(this.#socket, GET_REQUEST).catch(() => null);
      if (answer !== null) {
        readGetReply(answer);
        this.#kind = "userspace";
        return true;
      }
    }
    if (networkInterfaces()[this.#name] === undefined && !(await linkExists(this.#name))) return false;
    await wgRead(this.#name).catch((cause: unknown) => {
      throw new SpineError("enclave_device", `${this.#name} exists and is no WireGuard interface`, { cause });
    });
    this.#kind = "kernel";
    return true;
  }

  async #make(): Promise<void> {
    if (this.#kind !== "userspace") {
      const made = await runTool("ip", ["link", "add", "dev", this.#name, "type", "wireguard"]).then(
        () => null,
        (error: unknown) => error,
      );
      if (made === null) {
        this.#kind = "kernel";
        return;
      }
      if (this.#kind === "kernel") throw made;
    }
    this.#kind = "userspace";
    await this.#spawn();
  }

  async #spawn(): Promise<void> {
    const child = spawn("wireguard-go", ["-f", this.#name], {
      env: TOOL_ENVIRONMENT,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let complaint = "";
    let over = false;
    child.stderr.on("data", (part: Buffer) => {
      complaint = (complaint + part.toString()).slice(-400);
    });
    const ended = (): void => {
      over = true;
      if (this.#child !== child) return;
      this.#child = null;
      this.#gone();
    };
    child.once("exit", ended);
    child.once("error", (error) => {
      complaint = error.message;
      ended();
    });
    const deadline = performance.now() + START_MS;
    for (;;) {
      if (over)
        throw new SpineError("enclave_device", `wireguard-go ended at once: ${complaint.trim().split("\n").at(-1)}`);
      const answers = await uapiRequest(this.#socket, GET_REQUEST).then(
        () => true,
        () => false,
      );
      if (answers && !over) break;
      if (performance.now() > deadline) {
        child.kill("SIGKILL");
        throw new SpineError("enclave_device", "wireguard-go does not answer on its control socket");
      }
      await sleep(POLL_MS);
    }
    this.#child = child;
  }

  /** Gives the interface this address and no other. */
  async #address(address: string): Promise<void> {
    const have = (networkInterfaces()[this.#name] ?? []).map(({ cidr }) => cidr).filter((cidr) => cidr !== null);
    const strange = have.filter((cidr) => cidr !== address && !cidr.startsWith("fe80:"));
    for (const cidr of strange) await runTool("ip", ["address", "delete", cidr, "dev", this.#name]);
    if (!have.includes(address)) await runTool("ip", ["address", "replace", address, "dev", this.#name]);
  }
}

/** Somebody else's interface: read, never changed. */
export class AdoptedBackend implements Backend {
  readonly #name: string;
  constructor(interfaceName: string) {
    this.#name = interfaceName;
  }
  get(): Promise<DeviceState> {
    return wgRead(this.#name);
  }
  async up(): Promise<void> {
    this.#refuse();
  }
  async set(): Promise<void> {
    this.#refuse();
  }
  async down(): Promise<void> {
    this.#refuse();
  }
  localNetworks(): Promise<readonly Network[]> {
    return localNetworks(this.#name);
  }
  #refuse(): never {
    throw new SpineError("enclave_refused", `${this.#name} is adopted: it is only read`);
  }
}

async function linkExists(name: string): Promise<boolean> {
  return access(`/sys/class/net/${name}`).then(
    () => true,
    () => false,
  );
}

async function localNetworks(except: string): Promise<readonly Network[]> {
  const own = Object.entries(networkInterfaces()).filter(([name]) => name !== except);
  const addresses = own.flatMap(([, list]) => (list ?? []).map(({ cidr }) => cidr).filter((cidr) => cidr !== null));
  const routes: string[] = [];
  for (const family of ["-4", "-6"]) {
    const text = await runTool("ip", [family, "-json", "route", "show", "table", "main"]).catch(() => "[]");
    for (const { dst, dev } of JSON.parse(text || "[]") as { dst?: string; dev?: string }[]) {
      if (dst !== undefined && dst !== "default" && dev !== except) routes.push(dst);
    }
  }
  const networks = [...addresses, ...routes].flatMap((text) => {
    try {
      return [networkOf(text.replace(/%[^/]*/, ""))];
    } catch {
      return [];
    }
  });
  return [...new Map(networks.map((network) => [formatNetwork(network), network])).values()];
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
