/** How the `rns` verbs reach the plane: through the daemon when one runs on the directory, else on a station of their own. */
import { SpineError } from "../../spine/index.ts";
import { Client } from "../client.ts";
import { loadConfig } from "../config-file.ts";
import { daemonSocket } from "../daemon-info.ts";
import type { NodeDir } from "../dir.ts";
import type { ReticulumConfig } from "./config.ts";
import type {
  MailOptions,
  PathOptions,
  ProbeOptions,
  ProbeResult,
  RnsAnnounced,
  RnsFetched,
  RnsOutgoing,
  RnsPath,
  RnsService,
  RnsStatus,
} from "./service.ts";

export interface RnsSession extends RnsService, AsyncDisposable {}

class RemoteRns implements RnsSession {
  readonly #client: Client;
  constructor(client: Client) {
    this.#client = client;
  }
  async status(): Promise<RnsStatus> {
    return JSON.parse(await this.#client.text({ method: "GET", path: "/v1/rns" })) as RnsStatus;
  }
  async announce({ appData }: { readonly appData?: Uint8Array | undefined }): Promise<RnsAnnounced> {
    const body = JSON.stringify(appData === undefined ? {} : { app_data: Buffer.from(appData).toString("utf8") });
    return JSON.parse(await this.#client.text({ method: "POST", path: "/v1/rns/announce", body })) as RnsAnnounced;
  }
  async probe({ destination, sizeBytes, timeoutMs, signal }: ProbeOptions): Promise<ProbeResult> {
    const body = JSON.stringify({ destination, size_bytes: sizeBytes, timeout_ms: timeoutMs });
    return JSON.parse(await this.#client.text({ method: "POST", path: "/v1/rns/probe", body, signal })) as ProbeResult;
  }
  async paths(): Promise<readonly RnsPath[]> {
    return JSON.parse(await this.#client.text({ method: "GET", path: "/v1/rns/paths" })) as RnsPath[];
  }
  async findPath({ destination, timeoutMs, signal }: PathOptions): Promise<RnsPath> {
    const body = JSON.stringify({ destination, timeout_ms: timeoutMs });
    return JSON.parse(await this.#client.text({ method: "POST", path: "/v1/rns/path", body, signal })) as RnsPath;
  }
  async dropPath(destination: string): Promise<boolean> {
    const body = JSON.stringify({ destination });
    const answer = await this.#client.text({ method: "POST", path: "/v1/rns/path/drop", body });
    return (JSON.parse(answer) as { dropped: boolean }).dropped;
  }
  async sendMail(options: MailOptions): Promise<RnsOutgoing> {
    const body = JSON.stringify(options);
    return JSON.parse(await this.#client.text({ method: "POST", path: "/v1/rns/messages", body })) as RnsOutgoing;
  }
  async fetchMail(signal?: AbortSignal): Promise<RnsFetched> {
    const options = { method: "POST", path: "/v1/rns/messages/fetch", body: "{}", signal } as const;
    return JSON.parse(await this.#client.text(options)) as RnsFetched;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
  }
}

export interface RnsPlace {
  readonly dir: NodeDir;
  readonly env: NodeJS.ProcessEnv;
  /** Configuration file; the directory's own if omitted. */
  readonly configPath?: string | undefined;
}

export async function rnsConfig({ dir, env, configPath }: RnsPlace): Promise<ReticulumConfig> {
  const file = { path: configPath ?? dir.config, required: configPath !== undefined };
  return (await loadConfig({ ...file, env, flags: {} })).planes.reticulum;
}

/** The running daemon's plane; undefined when no daemon runs. */
export async function connectRns(dir: NodeDir): Promise<RnsSession | undefined> {
  const client = new Client(await daemonSocket(dir));
  try {
    await client.text({ method: "GET", path: "/healthz" });
    return new RemoteRns(client);
  } catch (caught) {
    client.close();
    if (caught instanceof SpineError && caught.code === "daemon_not_running") return undefined;
    throw caught;
  }
}

/** Without a daemon a station with the configured interfaces runs until the session is disposed. */
export async function openRns(place: RnsPlace, note: (text: string) => void): Promise<RnsSession> {
  const remote = await connectRns(place.dir);
  if (remote !== undefined) {
    if (place.configPath !== undefined) throw new SpineError("daemon_running", "--config is for when no daemon runs");
    return remote;
  }
  const config = await rnsConfig(place);
  if (!config.enabled || config.interfaces.length === 0) {
    throw new SpineError("plane_not_started", "no daemon runs, and planes.reticulum names no interface to use");
  }
  const { ReticulumNode } = await import("./station.ts");
  const log = { info: () => undefined, warn: (_: object, text: string) => note(text) };
  const node = await ReticulumNode.start({ dir: place.dir, config: { ...config, announceMinutes: 0 }, log });
  return {
    status: () => node.status(),
    announce: (options) => node.announce(options),
    probe: (options) => node.probe(options),
    paths: () => node.paths(),
    findPath: (options) => node.findPath(options),
    dropPath: (destination) => node.dropPath(destination),
    sendMail: (options) => node.sendMail(options),
    fetchMail: (signal) => node.fetchMail(signal),
    [Symbol.asyncDispose]: () => node.stop(),
  };
}
