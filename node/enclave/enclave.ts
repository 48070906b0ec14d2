/**
 * The enclave in the daemon: keeps this node's own transport binding published, feeds the plane with the bindings of
 * listed issuers and with what the mesh learns of revocations, and changes the transport key. Made by the daemon.
 */
import { randomBytes } from "node:crypto";
import { rename } from "node:fs/promises";
import { resolve } from "node:path";
import { wireguard } from "../../planes/index.ts";
import { Admission, type Claim, type JsonObject, type Run, SpineError, toHex } from "../../spine/index.ts";
import { syncDir } from "../files.ts";
import { sha256Hex } from "../hash.ts";
import { fileExists } from "../init.ts";
import { createTransportKeyFile, readTransportKeyFile } from "../keyfile.ts";
import { planeOf, readPeerbook } from "../peerbook.ts";
import type { Runtime } from "../runtime.ts";
import { BindingBook } from "./binding-book.ts";
import type { EnclaveConfig } from "./config.ts";
import type { EnclaveReport, EnclaveService } from "./service.ts";

export interface EnclaveOptions {
  readonly runtime: Runtime;
  readonly config: EnclaveConfig;
  readonly log: (event: string, fields: Readonly<Record<string, string | number>>) => void;
}

const PUBLISH_RETRY_MS = 5_000;

export class Enclave implements EnclaveService {
  readonly plane: wireguard.WireguardPlane;
  readonly #options: EnclaveOptions;
  readonly #book: BindingBook;
  readonly #address: string;
  readonly #verify: (claim: Claim) => boolean;
  #nextKey: Uint8Array | null = null;
  #nextKeyAtMs = 0;
  #rotation: NodeJS.Timeout | null = null;
  #publishing: Promise<void> = Promise.resolve();
  #published: string | null = null;
  #stopped = false;

  private constructor(options: EnclaveOptions, privateKey: Uint8Array | null, peers: readonly string[]) {
    const { runtime, config, log } = options;
    this.#options = options;
    const { issuer, dir, store, verifier } = runtime;
    const { mesh } = runtime.driver;
    this.#address = wireguard.formatAddress(wireguard.parseAddress(config.address as string));
    this.#verify = (claim) => verifier.verifyInline([claim])?.[0] ?? false;
    this.#book = new BindingBook({
      path: dir.enclave,
      store,
      verify: this.#verify,
      wholeTo: (peer) => {
        const { ranges = [], prunedBelow = 0 } = mesh.issuer(peer) ?? {};
        const [first] = ranges;
        return first !== undefined && (first.from <= 1 || first.from <= prunedBelow) ? first.to : 0;
      },
      found: (envelope) => {
        if (envelope.issuer !== issuer) this.plane.learn(envelope);
      },
    });
    this.plane = new wireguard.WireguardPlane({
      device: new wireguard.HelperClient({
        socketPath: resolve(dir.path, config.helper),
        interfaceName: config.interface,
        owned: !config.adopt,
      }),
      privateKey,
      network: config.network,
      address: this.#address,
      port: config.port,
      listenPort: config.listenPort,
      mtuBytes: config.mtu,
      keepaliveSeconds: config.keepaliveSeconds,
      issuer,
      peers,
      card: () => this.#card(),
      verify: this.#verify,
      sha256Hex,
      excluded: (peer, seq) => {
        const denied = mesh.issuer(peer)?.admission === Admission.denied;
        return denied || mesh.authority.isRevoked(peer) || mesh.authority.decide(peer, seq) !== "allowed";
      },
      attested: (peer) => {
        if (!config.requireAttestation) return true;
        const at = this.#book.attestedAt(peer);
        return at > 0 && mesh.authority.decide(peer, at) === "allowed";
      },
      log,
    });
  }

  /** Resolved = the plane runs and its consumer is attached. Throws `key_*`, `enclave_address`, `enclave_refused`. */
  static async start(options: EnclaveOptions, signal: AbortSignal): Promise<Enclave> {
    const { runtime, config } = options;
    const { dir } = runtime;
    let privateKey: Uint8Array | null = null;
    if (!config.adopt) {
      if (!(await fileExists(dir.wireguardKey))) await createTransportKeyFile(dir.wireguardKey);
      privateKey = await readTransportKeyFile(dir.wireguardKey);
    }
    const added = (await readPeerbook(dir.peerbook)).filter((address) => planeOf(address) === "wireguard");
    const enclave = new Enclave(options, privateKey, [...config.peers, ...added]);
    await enclave.#begin(signal);
    return enclave;
  }

  async #begin(signal: AbortSignal): Promise<void> {
    const { runtime, config } = this.#options;
    await this.#book.load();
    for (const issuer of this.plane.listed) await runtime.admit(issuer, Admission.allowed);
    for (const issuer of this.plane.listed) {
      const known = this.#book.binding(issuer);
      if (known !== null) this.plane.learn(known);
    }
    await this.#book.search(runtime.issuer, signal);
    const next = nextKeyPath(runtime);
    if (!config.adopt && (await fileExists(next))) this.#nextKey = await readTransportKeyFile(next);
    try {
      await this.plane.start({ signal });
    } catch (error) {
      await this.plane.stop();
      throw error;
    }
    runtime.planes.push(this.plane);
    runtime.driver.attach(this.plane);
    if (this.#nextKey !== null) this.#scheduleTakeover();
    this.announce();
    // Long chains of others take a while: links with those known from before do not wait for it.
    runtime.background(async (ending) => {
      for (const issuer of this.plane.listed) await this.#book.search(issuer, ending);
    });
  }

  // ---- what the daemon tells ----

  stored(run: Run): void {
    this.#book.stored(run);
  }
  /** Revocations, forks, denials or attestations changed. */
  refresh(): void {
    this.plane.refresh();
  }
  /** Lists a card's or an issuer id's issuer and admits it. Throws `peer_address`. */
  async add(address: string): Promise<void> {
    const { runtime } = this.#options;
    const before = new Set(this.plane.listed);
    await this.plane.addPeer(address);
    for (const issuer of this.plane.listed) {
      if (before.has(issuer)) continue;
      await runtime.admit(issuer, Admission.allowed);
      runtime.background((signal) => this.#book.search(issuer, signal));
    }
  }
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#rotation !== null) clearTimeout(this.#rotation);
    await this.#publishing;
    await this.#book.save().catch(() => undefined);
  }

  // ---- own binding ----

  /** Publishes the own binding if what is published is no longer true. Tried again while publishing is not possible. */
  announce(): void {
    const again = (): Promise<void> => this.#announce();
    this.#publishing = this.#publishing.then(again, again).catch((error: Error) => {
      this.#options.log("cannot publish the transport binding yet", { reason: error.message });
      if (!this.#stopped) setTimeout(() => this.announce(), PUBLISH_RETRY_MS).unref();
    });
  }
  async #announce(): Promise<void> {
    const { runtime, config } = this.#options;
    const publicKey = this.plane.publicKey;
    if (publicKey === null || this.#stopped) return;
    const fields: wireguard.BindingFields = {
      publicKey,
      nextKey: this.#nextKey === null ? null : toHex(wireguard.publicKeyOf(this.#nextKey)),
      address: this.#address,
      port: config.port,
      endpoints: config.endpoints,
    };
    const known = this.#book.binding(runtime.issuer);
    const current = known === null ? undefined : wireguard.readBinding(known);
    if (current !== undefined && wireguard.sameFields(current, fields)) return;
    const fact: JsonObject = wireguard.bindingFact(fields, randomBytes(16).toString("hex"));
    const [outcome] = await runtime.publisher.publish([fact]);
    if (outcome?.ok !== true) throw new SpineError(outcome?.code ?? "internal", outcome?.message ?? "no answer");
    await this.#book.search(runtime.issuer, new AbortController().signal);
    this.#published = outcome.envelope_hash;
    this.#options.log("transport binding published", { seq: outcome.seq, hash: this.#published });
  }
  #card(): string | null {
    const envelope = this.#book.binding(this.#options.runtime.issuer);
    try {
      return envelope === null ? null : wireguard.writeCard(envelope, sha256Hex);
    } catch {
      return null;
    }
  }

  // ---- change of key ----

  async rotate(): Promise<EnclaveReport> {
    const { runtime, config } = this.#options;
    if (config.adopt)
      throw new SpineError("enclave_refused", "the interface is adopted: change its key where it is kept");
    if (this.#nextKey !== null) throw new SpineError("rate_limited", "a change of key is under way");
    await createTransportKeyFile(nextKeyPath(runtime));
    this.#nextKey = await readTransportKeyFile(nextKeyPath(runtime));
    this.announce();
    await this.#publishing;
    this.#scheduleTakeover();
    return this.report();
  }
  #scheduleTakeover(): void {
    const { config, log } = this.#options;
    this.#nextKeyAtMs = Date.now() + config.rotationSeconds * 1_000;
    this.#rotation = setTimeout(() => {
      this.#takeOver().catch((error: Error) =>
        log("the new transport key could not take over", { reason: error.message }),
      );
    }, config.rotationSeconds * 1_000);
  }
  async #takeOver(): Promise<void> {
    const { runtime, log } = this.#options;
    if (this.#nextKey === null || this.#stopped) return;
    const next = this.#nextKey;
    // The file first: a crash between the two leaves the key that peers were told of.
    await rename(nextKeyPath(runtime), runtime.dir.wireguardKey);
    await syncDir(runtime.dir.path);
    this.#nextKey = null;
    this.plane.changeKey(next);
    log("the new transport key has taken over", { key: this.plane.publicKey ?? "" });
    this.announce();
  }

  report(): EnclaveReport {
    const { config } = this.#options;
    const { publicKey, up, mtuBytes, failure, absent } = this.plane.enclave();
    const changing = this.#nextKey !== null;
    return {
      interface: config.interface,
      owned: !config.adopt,
      up,
      network: config.network,
      address: this.#address,
      mtu: mtuBytes,
      public_key: publicKey,
      next_key: changing ? toHex(wireguard.publicKeyOf(this.#nextKey as Uint8Array)) : null,
      next_key_at: changing ? new Date(this.#nextKeyAtMs).toISOString() : null,
      card: this.#card(),
      failure: failure === null ? null : { code: failure.code, message: failure.message, hint: failure.hint },
      absent,
    };
  }
  /** What the operator should know, one sentence each. */
  warnings(): string[] {
    const { failure, up, absent } = this.plane.enclave();
    const refused = absent.filter(({ reason }) => reason !== "no binding yet");
    return [
      ...(failure === null
        ? []
        : [`The enclave is ${up ? "not as wished" : "down"}: ${failure.message}. ${failure.hint}`]),
      ...refused.map(({ issuer, reason }) => `Not let into the enclave: ${issuer}: ${reason}.`),
    ];
  }
}

function nextKeyPath(runtime: Runtime): string {
  return `${runtime.dir.wireguardKey}.next`;
}

/** Whether an issuer id or card may be added at all. Throws `plane_not_started`. */
export function requireEnclave(enclave: Enclave | undefined): Enclave {
  if (enclave === undefined) throw new SpineError("plane_not_started", "planes.wireguard.enabled is false");
  return enclave;
}
