/** Nodes of ours and of the Python reference in one network of real wires. Used by the transport and LXMF interop tests. */
import { RadioEther } from "../../../planes/reticulum/ether.ts";
import type { Interface } from "../../../planes/reticulum/interfaces/interface.ts";
import { RNodeInterface } from "../../../planes/reticulum/interfaces/rnode-interface.ts";
import { serialInterface } from "../../../planes/reticulum/interfaces/serial.ts";
import { TcpServerInterface, tcpClient } from "../../../planes/reticulum/interfaces/tcp.ts";
import { Destination } from "../../../planes/reticulum/stack/destination.ts";
import { Identity } from "../../../planes/reticulum/stack/identity.ts";
import type { Link } from "../../../planes/reticulum/stack/link.ts";
import { SINGLE } from "../../../planes/reticulum/stack/name.ts";
import type { WirePolicy } from "../../../planes/reticulum/stack/wire-policy.ts";
import { Station } from "../../../planes/reticulum/station.ts";
import { fromHex, toHex } from "../../../spine/index.ts";
import { Pty } from "../../peers/pty.ts";
import { airClock, EmulatedRNode } from "../../peers/rnode.ts";
import type { RnsNode } from "../../peers/rns.ts";
import { freePort, madeData, sha256Hex, systemRandom, until } from "./interop.ts";

/** Tests announce often: the limit for real networks would end them. */
export const FREE: WirePolicy = { announceRate: null, ingressControl: false };
export const FREE_PYTHON = "announce_rate_target = 1\ningress_control = No\n";

const RADIO = { frequencyHz: 867_200_000, bandwidthHz: 500_000, txPowerDbm: 14, spreadingFactor: 5, codingRate: 5 };

/** One real wire: what either side configures to be at either end of it. */
export interface RealWire {
  /** Ours at the first or the second end. */
  ours(end: 0 | 1): Interface;
  /** The reference's configuration section. */
  theirs(end: 0 | 1): string;
  close(): Promise<void>;
}

export async function tcpWire(name: string): Promise<RealWire> {
  const port = await freePort();
  return {
    ours: (end) => {
      const options = { name, host: "127.0.0.1", port, policy: FREE };
      return end === 0 ? new TcpServerInterface(options) : tcpClient(options);
    },
    theirs: (end) =>
      end === 0
        ? `[[${name}]]\ntype = TCPServerInterface\nenabled = Yes\nlisten_ip = 127.0.0.1\nlisten_port = ${port}\n${FREE_PYTHON}`
        : `[[${name}]]\ntype = TCPClientInterface\nenabled = Yes\ntarget_host = 127.0.0.1\ntarget_port = ${port}\n${FREE_PYTHON}`,
    close: async () => undefined,
  };
}

export async function serialWire(name: string): Promise<RealWire> {
  const pty = await Pty.open();
  const path = (end: 0 | 1): string => (end === 0 ? pty.near : pty.far);
  const line = "enabled = Yes\nspeed = 115200\ndatabits = 8\nparity = none\nstopbits = 1\n";
  return {
    ours: (end) => serialInterface({ name, path: path(end), policy: FREE }),
    theirs: (end) => `[[${name}]]\ntype = SerialInterface\nport = ${path(end)}\n${line}${FREE_PYTHON}`,
    close: () => pty.close(),
  };
}

/** Two emulated RNodes on one ether; the reference is at the end `theirEnd`. */
export async function radioWire(name: string, theirEnd: 0 | 1): Promise<RealWire> {
  const ether = new RadioEther({ clock: airClock(), chance: Math.random, loss: 0 });
  const devices = [new EmulatedRNode(ether, `${name}0`), new EmulatedRNode(ether, `${name}1`)] as const;
  const ports = [await devices[0].listen(), await devices[1].listen()] as const;
  const pty = await Pty.open(ports[theirEnd]);
  const radio = `frequency = ${RADIO.frequencyHz}\nbandwidth = ${RADIO.bandwidthHz}\ntxpower = ${RADIO.txPowerDbm}\nspreadingfactor = ${RADIO.spreadingFactor}\ncodingrate = ${RADIO.codingRate}\n`;
  return {
    ours: (end) =>
      new RNodeInterface({
        name,
        radio: RADIO,
        device: { host: "127.0.0.1", port: ports[end] },
        settleMs: 50,
        policy: FREE,
      }),
    theirs: () =>
      `[[${name}]]\ntype = RNodeInterface\nenabled = Yes\nport = ${pty.near}\nflow_control = False\n${radio}${FREE_PYTHON}`,
    close: async () => {
      await pty.close();
      for (const device of devices) await device.close();
    },
  };
}

/** A node of ours with a destination "interop.spine". */
export class OwnNode {
  readonly station: Station;
  readonly identity: Identity;
  readonly destination: Destination;
  lastLink: Link | undefined;
  private constructor(interfaces: readonly Interface[], transport: boolean) {
    this.identity = Identity.create(systemRandom);
    this.station = new Station(
      {
        random: systemRandom,
        identity: this.identity,
        transport,
        onError: (error) => {
          throw error;
        },
      },
      interfaces,
    );
    const { identity } = this;
    this.destination = new Destination({ type: SINGLE, appName: "interop", aspects: ["spine"], identity });
    this.destination.proofs = "all";
    this.destination.requests.register({ path: "/echo", allow: "all", handle: ({ data }, respond) => respond(data) });
    this.destination.onLink = (link) => {
      this.lastLink = link;
      link.acceptResource = () => true;
    };
    this.station.act(() => this.station.endpoint.register(this.destination));
  }
  static async start(interfaces: readonly Interface[], transport = false): Promise<OwnNode> {
    const node = new OwnNode(interfaces, transport);
    await node.station.start();
    return node;
  }
  get hash(): string {
    return this.destination.hex;
  }
  get address(): Readonly<Record<string, unknown>> {
    return { hash: this.hash, app: "interop", aspects: ["spine"] };
  }
  async announce(): Promise<void> {
    this.station.act(() => this.station.endpoint.announce(this.destination));
  }
  /** Hops to a destination once its announce was heard. */
  async hears(hash: string, timeoutMs: number): Promise<number | undefined> {
    const { endpoint } = this.station;
    const heard = (): boolean => this.station.act(() => endpoint.hasPath(fromHex(hash)));
    await until("an announce", heard, timeoutMs).catch(() => undefined);
    return this.station.act(() => endpoint.path(fromHex(hash)))?.hops;
  }
  /** A packet with its proof, a link with a request and a resource. */
  async visit(to: End, resourceBytes: number): Promise<void> {
    const { station } = this;
    const { endpoint } = station;
    const receipt = station.act(() => endpoint.send(fromHex(to.hash), madeData(100, false)));
    await until("the proof", () => receipt.state !== "sent");
    if (receipt.state !== "delivered") throw new Error("the packet was not proved");
    const link = station.act(() => endpoint.openLink(fromHex(to.hash)));
    await until("the link", () => link.state !== "pending", 30_000);
    if (link.state !== "active") throw new Error(`the link is ${link.state}`);
    const data = madeData(200, false);
    let answer = "";
    const request = station.act(() => link.request("/echo", data));
    request.onResponse = ({ value }) => {
      answer = value instanceof Uint8Array ? toHex(value) : "not bytes";
    };
    request.onFailed = ({ code }) => {
      answer = code;
    };
    await until("the response", () => answer !== "", 30_000);
    if (answer !== toHex(data)) throw new Error(`the response was ${answer}`);
    const resource = station.act(() => link.sendResource(madeData(resourceBytes, false)));
    await until("the resource", () => resource.state === "complete" || resource.state === "failed", 60_000);
    if (resource.state !== "complete") throw new Error(`the resource failed: ${resource.failure?.message}`);
    station.act(() => link.close());
  }
  async stop(): Promise<void> {
    await this.station.stop();
  }
}

export interface End {
  readonly hash: string;
  readonly address: Readonly<Record<string, unknown>>;
  announce(): Promise<void>;
  hears(hash: string, timeoutMs: number): Promise<number | undefined>;
  visit(to: End, resourceBytes: number): Promise<void>;
  stop(): Promise<void>;
}

/** The reference as one end. */
export class PythonEnd implements End {
  readonly node: RnsNode;
  constructor(node: RnsNode) {
    this.node = node;
  }
  get hash(): string {
    return this.node.hash;
  }
  get address(): Readonly<Record<string, unknown>> {
    return { hash: this.hash, app: "interop", aspects: ["python"] };
  }
  async announce(): Promise<void> {
    await this.node.do({ do: "announce" }, "announced");
  }
  async hears(hash: string, timeoutMs: number): Promise<number | undefined> {
    const heard = await this.node.wait("announce", (e) => e.hash === hash, timeoutMs).catch(() => undefined);
    return heard?.hops;
  }
  async visit(to: End, resourceBytes: number): Promise<void> {
    const { node } = this;
    await node.sendProved({ do: "packet", ...to.address, data: toHex(madeData(100, false)) });
    await node.do({ do: "link", ...to.address }, "link-up", 30_000);
    const data = toHex(madeData(200, false));
    const answer = await node.request({ path: "/echo", data });
    if (answer.data !== data) throw new Error("the response is another");
    let sent = await node.do({ do: "resource", size: resourceBytes, compressible: false }, "resource-sent", 60_000);
    if (!sent.ok)
      sent = await node.do({ do: "resource", size: resourceBytes, compressible: false }, "resource-sent", 60_000);
    if (!sent.ok || sent.sha256 !== sha256Hex(madeData(resourceBytes, false))) throw new Error("the resource failed");
    node.send({ do: "close" });
  }
  stop(): Promise<void> {
    return this.node.stop();
  }
}

/** Both ends announce until each has heard the other over `hops` hops: wires may still be coming up. */
export async function meet(a: End, b: End, hops: number): Promise<void> {
  const heard = new Map<End, number | undefined>();
  for (let i = 0; i < 8 && !(heard.get(a) === hops && heard.get(b) === hops); i++) {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      if (heard.get(to) === hops) continue;
      await from.announce();
      heard.set(to, await to.hears(from.hash, 3000 + 1500 * hops));
    }
  }
  if (heard.get(a) !== hops || heard.get(b) !== hops) {
    throw new Error(`heard over ${heard.get(a)} and ${heard.get(b)} hops, expected ${hops}`);
  }
}
