/** AutoInterface: finds peers on the local links by IPv6 multicast (spec/reticulum.md section 16.5). Used by the station. */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { networkInterfaces } from "node:os";
import { equalBytes, type Millis, SpineError, toHex } from "../../../spine/index.ts";
import { sha256 } from "../stack/crypto.ts";
import { discoveryToken, multicastGroup, type Scope } from "./discovery.ts";
import { maxFrameBytes } from "./framed.ts";
import {
  type AccessOptions,
  accessCode,
  type Interface,
  type InterfaceStatus,
  type LiveWire,
  WIDE_ACCESS_BYTES,
  type WireHost,
} from "./interface.ts";

const AUTO_MTU = 1196;
const GUESSED_BITRATE = 10_000_000;
const ANNOUNCE_MS = 1600;
const REVERSE_MS = 5200;
const PEER_TIMEOUT_MS = 22_000;
const CARRIER_TIMEOUT_MS = 6500;
const DUPLICATE_MS = 750;
const DUPLICATES_KEPT = 48;
const MAX_PEERS = 256;
const TOKEN_BYTES = 32;
const QUEUE_BYTES = 1024 * 1024;

export interface AutoOptions extends AccessOptions {
  readonly name: string;
  readonly groupId?: string;
  readonly scope?: Scope;
  readonly discoveryPort?: number;
  readonly dataPort?: number;
  /** Only these network devices; all with a link-local address by default. */
  readonly devices?: readonly string[];
  readonly ignoredDevices?: readonly string[];
}

/** One network device that takes part. */
interface Link {
  readonly device: string;
  readonly address: string;
  readonly discovery: Socket;
  readonly unicast: Socket;
  readonly data: Socket;
  echoAt: Millis;
}

interface Peer {
  readonly wire: LiveWire;
  readonly link: Link;
  readonly address: string;
  heardAt: Millis;
  reverseAt: Millis;
}

/** The address without its zone, as other nodes see it. */
function bare(address: string): string {
  return address.split("%")[0] as string;
}

function opened(port: number, address: string): Promise<Socket> {
  const socket = createSocket({ type: "udp6", reuseAddr: true });
  return new Promise((resolve, reject) => {
    socket.once("error", (error) => {
      reject(new SpineError("plane_start_failed", `[${address}]:${port}: ${error.message}`, { cause: error }));
    });
    socket.bind(port, address, () => {
      socket.removeAllListeners("error");
      resolve(socket);
    });
  });
}

export class AutoInterface implements Interface {
  readonly name: string;
  readonly #options: AutoOptions;
  readonly #group: string;
  readonly #groupId: string;
  readonly #links = new Map<string, Link>();
  readonly #peers = new Map<string, Peer>();
  readonly #ifac: ReturnType<typeof accessCode>;
  #recent: { readonly hash: string; readonly at: Millis }[] = [];
  #host: WireHost | undefined;
  #timer: NodeJS.Timeout | undefined;
  #framesDropped = 0;
  #stopped = false;
  #lastError: SpineError | undefined;
  /** Throws `config_invalid`. */
  constructor(options: AutoOptions) {
    this.name = options.name;
    this.#options = options;
    this.#groupId = options.groupId ?? "reticulum";
    this.#group = multicastGroup(this.#groupId, options.scope ?? "link");
    this.#ifac = accessCode(options, WIDE_ACCESS_BYTES);
  }
  async start(host: WireHost): Promise<void> {
    this.#host = host;
    await this.#adopt();
    await this.#tick();
  }
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    for (const peer of [...this.#peers.values()]) this.#forget(peer);
    for (const link of [...this.#links.values()]) this.#abandon(link);
  }
  status(): InterfaceStatus {
    const now = performance.now();
    return {
      name: this.name,
      type: "auto",
      online: this.#links.size > 0,
      wires: this.#peers.size,
      bitrate: GUESSED_BITRATE,
      framesDropped: this.#framesDropped,
      reconnects: 0,
      lastError: this.#lastError,
      details: Object.fromEntries(
        [...this.#links.values()].map((link) => [
          link.device,
          now - link.echoAt < CARRIER_TIMEOUT_MS ? "carrier" : "no echo",
        ]),
      ),
    };
  }

  // --- devices ---

  /** Takes devices that appeared or changed their address, and gives up those that left. */
  async #adopt(): Promise<void> {
    const { devices, ignoredDevices = [] } = this.#options;
    const present = new Map<string, string>();
    for (const [device, addresses] of Object.entries(networkInterfaces())) {
      const wanted = devices === undefined ? device !== "lo" : devices.includes(device);
      if (!wanted || ignoredDevices.includes(device)) continue;
      const own = addresses?.find((a) => a.family === "IPv6" && a.address.startsWith("fe80:"));
      if (own !== undefined) present.set(device, own.address);
    }
    for (const link of [...this.#links.values()]) {
      if (present.get(link.device) !== link.address) this.#abandon(link);
    }
    for (const [device, address] of present) {
      if (this.#links.has(device) || this.#stopped) continue;
      try {
        await this.#join(device, address);
        this.#lastError = undefined;
      } catch (caught) {
        this.#lastError = caught instanceof SpineError ? caught : new SpineError("plane_start_failed", String(caught));
      }
    }
  }
  async #join(device: string, address: string): Promise<void> {
    const { discoveryPort = 29_716, dataPort = 42_671 } = this.#options;
    const zoned = `${address}%${device}`;
    const sockets: Socket[] = [];
    try {
      const discovery = await opened(discoveryPort, `${this.#group}%${device}`);
      sockets.push(discovery);
      discovery.addMembership(this.#group, `::%${device}`);
      discovery.setMulticastInterface(`::%${device}`);
      const unicast = await opened(discoveryPort + 1, zoned);
      sockets.push(unicast);
      const data = await opened(dataPort, zoned);
      sockets.push(data);
      unicast.setMulticastInterface(`::%${device}`);
      unicast.setMulticastLoopback(true);
      const link: Link = { device, address, discovery, unicast, data, echoAt: performance.now() };
      discovery.on("message", (token, from) => this.#heard(link, token, from));
      unicast.on("message", (token, from) => this.#heard(link, token, from));
      data.on("message", (frame, from) => this.#received(link, frame, from));
      for (const socket of sockets) socket.on("error", () => this.#abandon(link));
      this.#links.set(device, link);
    } catch (caught) {
      for (const socket of sockets) socket.close();
      throw caught;
    }
  }
  #abandon(link: Link): void {
    if (this.#links.get(link.device) !== link) return;
    this.#links.delete(link.device);
    for (const peer of [...this.#peers.values()]) if (peer.link === link) this.#forget(peer);
    for (const socket of [link.discovery, link.unicast, link.data]) socket.close();
  }

  // --- peers ---

  async #tick(): Promise<void> {
    const now = performance.now();
    const { discoveryPort = 29_716 } = this.#options;
    const failed = (): void => {
      this.#framesDropped++;
    };
    for (const link of this.#links.values()) {
      const token = discoveryToken(this.#groupId, link.address);
      link.unicast.send(token, discoveryPort, `${this.#group}%${link.device}`, (error) => error && failed());
    }
    for (const peer of [...this.#peers.values()]) {
      if (now - peer.heardAt > PEER_TIMEOUT_MS) this.#forget(peer);
      else if (now - peer.reverseAt > REVERSE_MS) {
        peer.reverseAt = now;
        const token = discoveryToken(this.#groupId, peer.link.address);
        const to = `${peer.address}%${peer.link.device}`;
        peer.link.unicast.send(token, discoveryPort + 1, to, (error) => error && failed());
      }
    }
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      void this.#adopt().then(() => this.#tick());
    }, ANNOUNCE_MS);
  }
  #heard(link: Link, token: Uint8Array, from: RemoteInfo): void {
    const address = bare(from.address);
    if (token.length < TOKEN_BYTES) return;
    if (!equalBytes(token.subarray(0, TOKEN_BYTES), discoveryToken(this.#groupId, address))) {
      this.#framesDropped++;
      return;
    }
    if (address === link.address) {
      link.echoAt = performance.now();
      return;
    }
    const known = this.#peers.get(`${address}%${link.device}`);
    if (known !== undefined) known.heardAt = performance.now();
    else if (this.#peers.size < MAX_PEERS) this.#meet(link, address);
  }
  #meet(link: Link, address: string): void {
    const id = `${address}%${link.device}`;
    const { dataPort = 42_671 } = this.#options;
    const send = (frame: Uint8Array): boolean => {
      if (this.#stopped || !this.#links.has(link.device) || link.data.getSendQueueSize() > QUEUE_BYTES) {
        this.#framesDropped++;
        return false;
      }
      link.data.send(frame, dataPort, id, (error) => {
        if (error !== null) this.#framesDropped++;
      });
      return true;
    };
    const info = {
      id: `${this.name}/${id}`,
      bitrate: GUESSED_BITRATE,
      hardwareMtu: AUTO_MTU,
      signalsMtu: true,
      ifac: this.#ifac,
      policy: this.#options.policy,
      medium: "network" as const,
    };
    const now = performance.now();
    const peer: Peer = { wire: { info, send }, link, address, heardAt: now, reverseAt: 0 };
    this.#peers.set(id, peer);
    this.#host?.up(peer.wire);
  }
  #forget(peer: Peer): void {
    if (!this.#peers.delete(`${peer.address}%${peer.link.device}`)) return;
    this.#host?.down(peer.wire);
  }
  #received(link: Link, datagram: Uint8Array, from: RemoteInfo): void {
    const peer = this.#peers.get(`${bare(from.address)}%${link.device}`);
    const frame = new Uint8Array(datagram.buffer, datagram.byteOffset, datagram.length);
    if (peer === undefined || frame.length > maxFrameBytes(peer.wire.info) || this.#isDuplicate(frame)) {
      this.#framesDropped++;
      return;
    }
    this.#host?.receive(peer.wire, frame);
  }
  /** The same datagram over two devices counts once. */
  #isDuplicate(frame: Uint8Array): boolean {
    if (this.#links.size < 2) return false;
    const now = performance.now();
    const hash = toHex(sha256(frame));
    this.#recent = this.#recent.filter(({ at }) => now - at < DUPLICATE_MS).slice(-DUPLICATES_KEPT);
    if (this.#recent.some((seen) => seen.hash === hash)) return true;
    this.#recent.push({ hash, at: now });
    return false;
  }
}
