/**
 * Network namespaces of the tests' own, joined by one bridge in a namespace of its own, with privileged helpers and
 * stock WireGuard peers inside. Needs root, /dev/net/tun and Debian's wireguard-go, wireguard-tools and iproute2.
 */
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { accessSync, constants, existsSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { CLI } from "../helpers/cli.ts";

const run = promisify(execFile);
const TOOLS = ["wireguard-go", "wg", "ip", "setpriv"];
const PATH = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
const START_MS = 15_000;
/** The group that daemon and helper share in the tests: nobody's. */
export const DAEMON_ID = 65_534;
/** As the units run them: the helper as root with CAP_NET_ADMIN alone, the daemon as nobody with nothing. */
const HELPER_PRIVILEGES = [
  "--regid",
  String(DAEMON_ID),
  "--clear-groups",
  "--bounding-set",
  "-all,+net_admin",
  "--no-new-privs",
];
export const DAEMON_PRIVILEGES: readonly string[] = [
  ...["setpriv", "--reuid", String(DAEMON_ID), "--regid", String(DAEMON_ID)],
  ...["--clear-groups", "--bounding-set", "-all", "--no-new-privs"],
];

function missingParts(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root for network namespaces";
  try {
    accessSync("/dev/net/tun", constants.R_OK | constants.W_OK);
  } catch {
    return "needs /dev/net/tun";
  }
  const absent = TOOLS.filter((tool) => !PATH.split(":").some((folder) => existsSync(join(folder, tool))));
  if (absent.length > 0) return `needs Debian's ${absent.join(", ")}`;
  if (spawnSync("unshare", ["-n", "true"]).status !== 0) return "needs permission to make network namespaces";
  return undefined;
}

/** `describe` over real interfaces: one counted skip where they cannot be made, a failure where peers are required. */
export function describeEnclave(title: string, body: () => void): void {
  const missing = missingParts();
  if (missing === undefined) describe(title, body);
  else {
    describe(title, () => {
      if (process.env["SPINE_REQUIRE_PEERS"] === "1") {
        it(missing, () => {
          throw new Error(missing);
        });
      } else it.skip(missing);
    });
  }
}

export async function sh(command: string, ...args: string[]): Promise<string> {
  const { stdout } = await run(command, args, { env: { ...process.env, PATH }, maxBuffer: 16 * 1_024 * 1_024 });
  return stdout;
}

export function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((done) => child.once("exit", () => done()));
}

export interface HelperProcess {
  readonly child: ChildProcess;
  readonly socket: string;
  readonly interfaceName: string;
}

/** One namespace: a host with a cable to the bridge. */
export interface Site {
  readonly name: string;
  /** On the underlay: 10.99.0.N. */
  readonly underlay: string;
  readonly interfaceName: string;
}

export class EnclaveRig {
  readonly id = randomBytes(2).toString("hex");
  readonly sites: Site[] = [];
  folder = "";
  readonly #children = new Set<ChildProcess>();

  /** Namespaces named by single letters. */
  async setUp(...letters: string[]): Promise<void> {
    this.folder = await mkdtemp(join(tmpdir(), "spine-enclave-"));
    await chmod(this.folder, 0o711);
    const hub = this.#hub;
    await sh("ip", "netns", "add", hub);
    await sh("ip", "-n", hub, "link", "add", "br0", "type", "bridge");
    await sh("ip", "-n", hub, "link", "set", "br0", "up");
    for (const [i, letter] of letters.entries()) {
      const name = `sp${this.id}-${letter}`;
      const underlay = `10.99.0.${i + 1}`;
      await sh("ip", "netns", "add", name);
      await sh(
        "ip",
        "link",
        "add",
        "eth0",
        "netns",
        name,
        "type",
        "veth",
        "peer",
        "name",
        `to-${letter}`,
        "netns",
        hub,
      );
      await sh("ip", "-n", hub, "link", "set", `to-${letter}`, "master", "br0", "up");
      await sh("ip", "-n", name, "address", "add", `${underlay}/24`, "dev", "eth0");
      for (const link of ["lo", "eth0"]) await sh("ip", "-n", name, "link", "set", link, "up");
      this.sites.push({ name, underlay, interfaceName: `spine${this.id}${letter}` });
    }
  }
  get #hub(): string {
    return `sp${this.id}-hub`;
  }
  site(letter: string): Site {
    const site = this.sites.find(({ name }) => name.endsWith(`-${letter}`));
    if (site === undefined) throw new Error(`no site ${letter}`);
    return site;
  }

  async tearDown(): Promise<void> {
    for (const child of this.#children) child.kill("SIGTERM");
    const patience = setTimeout(() => {
      for (const child of this.#children) child.kill("SIGKILL");
    }, 10_000);
    await Promise.all([...this.#children].map(ended));
    clearTimeout(patience);
    for (const { name } of this.sites) await sh("ip", "netns", "delete", name).catch(() => "");
    await sh("ip", "netns", "delete", this.#hub).catch(() => "");
    await rm(this.folder, { recursive: true, force: true });
  }

  /** A command's output, run at a site. */
  at(site: Site, command: string, ...args: string[]): Promise<string> {
    return sh("ip", "netns", "exec", site.name, command, ...args);
  }
  /** Whether packets pass from a site to an address and back: a closed port answers too. */
  async reaches(site: Site, address: string): Promise<boolean> {
    const probe = `exec 3<>/dev/tcp/${address}/9`;
    const { stderr } = await run("ip", ["netns", "exec", site.name, "timeout", "2", "bash", "-c", probe], {
      env: { ...process.env, PATH, LC_ALL: "C" },
    }).catch((error: { stderr?: string }) => ({ stderr: error.stderr ?? "" }));
    return stderr.includes("Connection refused");
  }
  /** A process at a site, ended with the rig. `ip netns exec` replaces itself: the pid is the command's. */
  spawn(site: Site, command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
    const child = spawn("ip", ["netns", "exec", site.name, command, ...args], {
      env: { ...process.env, PATH, ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    return child;
  }

  /** The privileged helper, as the unit runs it. */
  async helper(
    site: Site,
    options: { network?: string; listenPort?: number; args?: readonly string[]; tag?: string; name?: string } = {},
  ): Promise<HelperProcess> {
    const { network = "10.77.0.0/24", listenPort = 51_820, args = [], tag = "", name } = options;
    const interfaceName = name ?? `${site.interfaceName}${tag}`;
    const socket = join(this.folder, `${interfaceName}.sock`);
    const settings = [
      "--network",
      network,
      "--interface",
      interfaceName,
      "--listen-port",
      String(listenPort),
      "--socket",
      socket,
    ];
    const words = [process.execPath, CLI, "enclave", "helper", "--json", ...settings, ...args];
    const child = this.spawn(site, "setpriv", [...HELPER_PRIVILEGES, ...words]);
    let complaint = "";
    child.stderr?.on("data", (part: Buffer) => {
      complaint = (complaint + part.toString()).slice(-4_000);
    });
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no helper: ${complaint}`)), START_MS);
      createInterface({ input: child.stdout as NodeJS.ReadableStream }).once("line", () => {
        clearTimeout(timer);
        resolve();
      });
      child.once("exit", (code) => reject(new Error(`helper ended with ${code}: ${complaint}`)));
    });
    return { child, socket, interfaceName };
  }

  /** A stock peer: wireguard-go and `wg`, nothing of ours. Resolves with its public key in base64. */
  async stock(
    site: Site,
    options: { address: string; listenPort?: number; name?: string },
  ): Promise<{ publicKey: string; interfaceName: string; child: ChildProcess }> {
    const interfaceName = options.name ?? `wg${this.id}${site.name.at(-1)}`;
    const child = this.spawn(site, "wireguard-go", ["-f", interfaceName], {
      WG_PROCESS_FOREGROUND: "1",
      LOG_LEVEL: "error",
    });
    for (let i = 0; !existsSync(`/var/run/wireguard/${interfaceName}.sock`); i++) {
      if (i > 200) throw new Error("wireguard-go never made its socket");
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    const privateKey = (await sh("wg", "genkey")).trim();
    const keyFile = join(this.folder, `${interfaceName}.key`);
    await writeFile(keyFile, `${privateKey}\n`, { mode: 0o600 });
    await sh("wg", "set", interfaceName, "listen-port", String(options.listenPort ?? 51_820), "private-key", keyFile);
    await sh("ip", "-n", site.name, "address", "add", options.address, "dev", interfaceName);
    await sh("ip", "-n", site.name, "link", "set", interfaceName, "mtu", "1420", "up");
    const publicKey = (await sh("wg", "show", interfaceName, "public-key")).trim();
    return { publicKey, interfaceName, child };
  }
}
