/**
 * An upstream-style log on a NATS cluster, written from the protocol alone (no project code but test helpers): leaves by
 * compare-and-set, bare statements to witnesses, checkpoints as envelopes; and an upstream-style witness.
 */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";

const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");
const SPKI = Buffer.from("302a300506032b6570032100", "hex");
const sha256 = (...parts: Uint8Array[]): Buffer => createHash("sha256").update(Buffer.concat(parts)).digest();

/** Keys in order, no spaces: enough of RFC 8785 for objects of plain strings, integers and nulls. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, one]) => `${JSON.stringify(key)}:${canonical(one)}`).join(",")}}`;
}

export class StrangerKey {
  readonly id: string;
  readonly #key: KeyObject;
  constructor(seed: string) {
    this.#key = createPrivateKey({
      key: Buffer.concat([PKCS8, sha256(Buffer.from(seed))]),
      format: "der",
      type: "pkcs8",
    });
    const raw = createPublicKey(this.#key).export({ format: "der", type: "spki" }).subarray(-32);
    this.id = `aegis:ed25519:${raw.toString("hex")}`;
  }
  sign(message: Uint8Array): string {
    return `0x${sign(null, message, this.#key).toString("hex")}`;
  }
}

const checkpointHash = (statement: object): Buffer => sha256(Buffer.from(canonical(statement)));
const witnessMessage = (statement: object): Buffer =>
  Buffer.concat([Buffer.from("AegisNetCheckpointHashV1\0"), checkpointHash(statement)]);

export interface WitnessObject {
  readonly schema: string;
  readonly witness_node_id: string;
  readonly checkpoint_hash: string;
  readonly signature: string;
}

/** Whether a witness_signature object holds for a statement. */
export function witnessHolds(statement: object, answer: WitnessObject): boolean {
  const raw = Buffer.from(answer.witness_node_id.slice(-64), "hex");
  const key = createPublicKey({ key: Buffer.concat([SPKI, raw]), format: "der", type: "spki" });
  const signature = Buffer.from(answer.signature.replace(/^0x/, ""), "hex");
  return verify(null, witnessMessage(statement), key, signature);
}

/** Signs every statement it is asked about, remembers nothing and reads no header. */
export function serveStrangerWitness(connection: NatsConnection, subject: string, key: StrangerKey): void {
  connection.subscribe(subject, {
    callback: (_, message) => {
      const statement = JSON.parse(message.string()) as object;
      message.respond(
        JSON.stringify({
          schema: "aegis.spine.witness_signature.v1",
          witness_node_id: key.id,
          checkpoint_hash: `0x${checkpointHash(statement).toString("hex")}`,
          signature: key.sign(witnessMessage(statement)),
        }),
      );
    },
  });
}

/** RFC 6962 over the leaves' contents. */
function root(leaves: readonly Uint8Array[]): Buffer {
  if (leaves.length === 1) return sha256(Uint8Array.of(0), leaves[0] as Uint8Array);
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return sha256(Uint8Array.of(1), root(leaves.slice(0, split)), root(leaves.slice(split)));
}

/** The log of a cluster of the clawdstrike preset. */
export class StrangerLog {
  readonly key: StrangerKey;
  readonly #connection: NatsConnection;
  readonly #leaves: Uint8Array[] = [];
  #seq = 0;
  #prevStatement: string | null = null;
  #prevEnvelope: string | null = null;

  constructor(connection: NatsConnection, key: StrangerKey) {
    this.#connection = connection;
    this.key = key;
  }

  async open(): Promise<void> {
    const jsm = await jetstreamManager(this.#connection);
    await jsm.streams.add({
      name: "CLAWDSTRIKE_SPINE_LOG",
      subjects: ["clawdstrike.spine.log.leaf.v1"],
      discard: "new",
      max_bytes: 1_048_576,
    });
  }

  async append(leaf: Uint8Array): Promise<void> {
    await jetstream(this.#connection).publish("clawdstrike.spine.log.leaf.v1", leaf, {
      expect: { lastSequence: this.#leaves.length },
    });
    this.#leaves.push(leaf);
  }

  statement(change: object = {}): object {
    return {
      schema: "aegis.spine.checkpoint_statement.v1",
      log_id: this.key.id,
      checkpoint_seq: this.#seq + 1,
      prev_checkpoint_hash: this.#prevStatement,
      merkle_root: `0x${root(this.#leaves).toString("hex")}`,
      tree_size: this.#leaves.length,
      issued_at: new Date().toISOString().replace(/\.\d+Z$/, "Z"),
      ...change,
    };
  }

  /** The first answer, or undefined when all witnesses stay silent. */
  async ask(statement: object, waitMs: number): Promise<WitnessObject | undefined> {
    const reply = await this.#connection
      .request("clawdstrike.spine.witness.sign.v1", canonical(statement), { timeout: waitMs })
      .catch(() => undefined);
    return reply?.json<WitnessObject>();
  }

  /** Publishes the checkpoint as an envelope of the log's own chain; its hash. */
  async publish(statement: object, witnesses: readonly WitnessObject[]): Promise<string> {
    const { schema: _, ...fields } = statement as Record<string, unknown>;
    const fact = {
      ...fields,
      schema: "clawdstrike.spine.fact.log_checkpoint.v1",
      fact_id: `cp_${this.#seq + 1}`,
      included_heads: [],
      witnesses: witnesses.map(({ witness_node_id, signature }) => ({ witness_node_id, signature })),
    };
    const unsigned = {
      schema: "aegis.spine.envelope.v1",
      issuer: this.key.id,
      seq: this.#seq + 1,
      prev_envelope_hash: this.#prevEnvelope,
      issued_at: (statement as { issued_at: string }).issued_at,
      capability_token: null,
      fact,
    };
    const bytes = Buffer.from(canonical(unsigned));
    const hash = `0x${sha256(bytes).toString("hex")}`;
    const envelope = canonical({ ...unsigned, envelope_hash: hash, signature: this.key.sign(bytes) });
    this.#connection.publish("clawdstrike.spine.envelope.log_checkpoint.v1", envelope);
    await this.#connection.flush();
    this.#seq++;
    this.#prevStatement = `0x${checkpointHash(statement).toString("hex")}`;
    this.#prevEnvelope = hash;
    return hash;
  }
}
