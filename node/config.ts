/**
 * The one configuration schema: `config.yaml`, then `SPINE_…` variables, then flags, each overriding the one before.
 * Unknown and wrong fields are refused together, each with its path (`config_invalid`).
 */
import { z } from "zod";
import { SpineError } from "../spine/index.ts";
import { wireguardSection } from "./enclave/config.ts";
import { gatewaySection } from "./gateway/config.ts";
import { natsSection } from "./nats/config.ts";
import { reticulumSection } from "./reticulum/config.ts";

const address = z.string().regex(/^\/[^\s]+$/, "expected a multiaddr such as /ip4/192.0.2.1/tcp/4801");
const issuerId = z
  .string()
  .regex(/^aegis:ed25519:[0-9a-f]{64}$/, "expected aegis:ed25519: and 64 lower-case hex digits");
const count = (least: number, most: number) => z.int().min(least).max(most);

const libp2p = z.strictObject({
  enabled: z.boolean().default(true).describe("Run this plane."),
  listen: z.array(address).max(16).default([]).describe("Multiaddrs to listen on; none means this node only dials."),
  bootstrap: z.array(address).max(64).default([]).describe("Peers asked once at start to meet others."),
  peers: z.array(address).max(512).default([]).describe("Peers to stay connected to."),
  discover: z.boolean().default(true).describe("Dial peers that connected peers name; false: only those named here."),
  mdns: z.boolean().default(false).describe("Announce and look for nodes on the local network."),
  pskFile: z.string().min(1).optional().describe("File with the private network's key; only its holders can connect."),
  relay: z
    .strictObject({
      server: z.boolean().default(false).describe("Relay connections between peers that cannot reach each other."),
      use: z
        .array(address)
        .max(8)
        .default([])
        .describe("Relays to be reachable through, each a multiaddr with /p2p/PEER_ID."),
    })
    .prefault({}),
  maxConnections: count(1, 10_000).default(128).describe("Connections at most, both directions."),
});

const guard = z.strictObject({
  mode: z
    .enum(["enforce", "observe"])
    .default("enforce")
    .describe("observe: denials are recorded and everything is let through."),
  policy: z
    .string()
    .min(1)
    .default("default")
    .describe("A built-in ruleset, or a policy file relative to the directory."),
  stageLoosening: z
    .boolean()
    .default(true)
    .describe("A changed policy that protects less waits for `spine guard approve`."),
  agents: z
    .array(
      z.strictObject({
        name: z.string().min(1).max(128).describe("Who asks on this socket; an issuer id can be revoked by its key."),
        socket: z
          .string()
          .min(1)
          .describe("Unix socket, relative to the directory, that answers checks and nothing else."),
        uid: count(0, 4_294_967_294)
          .optional()
          .describe("User that owns the socket; another than one's own needs root."),
      }),
    )
    .max(64)
    .default([])
    .describe("A socket for each agent: who can open it is who asks."),
  openingsBytes: count(1_048_576, 1_099_511_627_776)
    .default(67_108_864)
    .describe("Space for what opens the receipts' commitments; the oldest go first."),
  deadlineMs: count(50, 60_000).default(5_000).describe("An answer that is not durable by then is a denial."),
  requireToken: z.boolean().default(false).describe("Deny callers without a valid capability token."),
  revocations: z
    .strictObject({
      maxAgeSeconds: count(1, 31_536_000).optional().describe("Older knowledge of revocations is stale; none: never."),
      stale: z.enum(["warn", "deny"]).default("warn").describe("deny: nothing passes on stale knowledge."),
    })
    .prefault({}),
  detection: z
    .strictObject({
      learned: z.boolean().default(true).describe("Judge texts by the learned classifier too, not by rules alone."),
      shift: z
        .number()
        .min(-10)
        .max(10)
        .default(0)
        .describe("Added to the classifier's thresholds: above 0 fewer texts are stopped, below 0 more."),
      judge: z
        .strictObject({
          url: z
            .url({ protocol: /^https?$/ })
            .describe("Chat completions of a language model. Doubtful texts go there."),
          model: z.string().min(1).max(256).default("default").describe("Model to ask for."),
          token: z.string().min(1).optional().describe("Environment variable that holds the bearer token."),
          timeoutMs: count(10, 60_000).default(1_500).describe("Later answers count as none."),
          denyFrom: count(1, 100).default(60).describe("Risk of 0 to 100 from which a text is denied."),
          onFailure: z.enum(["deny", "warn"]).default("deny").describe("What no answer, or no clear one, means."),
        })
        .optional()
        .describe("Asked about texts that the guards only warn about; off when absent."),
    })
    .prefault({}),
  looseningQuorum: count(0, 256)
    .default(0)
    .describe("Curators of level full that must publish the same policy to loosen theirs; 0: only you can."),
});

export const configSchema = z.strictObject({
  name: z.string().max(64).default("").describe("This node's name, for people."),
  issuers: z
    .strictObject({
      open: z.boolean().default(false).describe("Lab mode: admit every issuer."),
      allow: z.array(issuerId).max(10_000).default([]).describe("Issuers admitted besides those allowed at run time."),
    })
    .prefault({}),
  planes: z
    .strictObject({
      libp2p: libp2p.prefault({}),
      nats: natsSection.prefault({}),
      reticulum: reticulumSection.prefault({}),
      wireguard: wireguardSection.prefault({}),
    })
    .prefault({}),
  gateway: gatewaySection.prefault({}),
  api: z
    .strictObject({
      socket: z.string().min(1).default("api.sock").describe("Unix socket, relative to the directory."),
      listen: z
        .string()
        .regex(/^(127\.0\.0\.1|\[::1\]|localhost):\d{1,5}$/, "expected a loopback address such as 127.0.0.1:4800")
        .refine((text) => Number(text.slice(text.lastIndexOf(":") + 1)) < 65_536, "port above 65535")
        .optional()
        .describe("Loopback host and port; requests need the token in api-token."),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: z.enum(["trace", "debug", "info", "warn", "error", "silent"]).default("info"),
      format: z.enum(["auto", "json", "text"]).default("auto").describe("auto: text on a terminal, else JSON lines."),
    })
    .prefault({}),
  quotas: z
    .strictObject({
      claims: count(0, 1_000_000).default(10_000).describe("Head claims kept of issuers that are not admitted."),
      issuers: count(1, 1_000_000).default(10_000).describe("Issuers admitted at most."),
      envelopesPerIssuer: count(0, Number.MAX_SAFE_INTEGER)
        .default(0)
        .describe("Envelopes kept of one issuer; 0 = any number. Retention makes room again."),
      issuerMiBPerDay: count(0, 10_000_000)
        .default(4_096)
        .describe("Stored a day of one issuer; 0 = any. The rest is fetched later."),
      peerMiBPerDay: count(0, 10_000_000)
        .default(65_536)
        .describe("Stored a day of what one peer brings; 0 = any. The rest is fetched later."),
    })
    .prefault({}),
  guard: guard.prefault({}),
  store: z
    .strictObject({
      commitDelayMs: count(0, 1000)
        .default(0)
        .describe("Wait this long to put more into one synced commit (SD cards)."),
      keepFreeMiB: count(0, 10_000_000)
        .default(1_024)
        .describe(
          "Kept free on the disk, at most a tenth of it: below it nothing of others is stored. Said from twice as much on.",
        ),
      maxMiB: count(0, 100_000_000)
        .default(0)
        .describe("Size of the store from which nothing of others is stored; 0 = any."),
    })
    .prefault({}),
  retention: z
    .strictObject({
      defaultDays: count(0, 36_500).default(0).describe("How long envelopes are kept; 0 = for ever."),
      kinds: z
        .record(z.string().min(1).max(256), count(0, 36_500))
        .default({})
        .describe("Days by fact kind, such as heartbeat: 30. Revocations and others that act on trust always stay."),
      own: z.boolean().default(false).describe("Prune this node's own chain too."),
    })
    .prefault({}),
  transparency: z
    .strictObject({
      origin: z
        .string()
        .min(1)
        .max(255)
        .optional()
        .describe("Name of this node's log in its public checkpoints, host/path; fixed once the log has begun."),
      production: z
        .boolean()
        .default(false)
        .describe("Refuse to start unless the trust file names logs and witnesses."),
      publicWitnesses: z
        .array(z.string().max(1024))
        .max(64)
        .default([])
        .describe("Witnesses asked over HTTP (c2sp.org/tlog-witness), each `VKEY URL`."),
      publicQuorum: count(0, 64).default(0).describe("How many of them must co-sign before a checkpoint is published."),
      witness: z
        .strictObject({
          enabled: z.boolean().default(true).describe("Co-sign checkpoints of the logs that the trust file names."),
          name: z.string().min(1).max(255).optional().describe("Key name of this node's co-signatures."),
          logs: z
            .array(z.string().max(1024))
            .max(1024)
            .default([])
            .describe("Further logs to co-sign, each a verifier key whose name is the log's origin."),
        })
        .prefault({}),
      listen: z
        .string()
        .regex(/^(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:]+\]|localhost):\d{1,5}$/, "expected HOST:PORT")
        .refine((text) => Number(text.slice(text.lastIndexOf(":") + 1)) < 65_536, "port above 65535")
        .optional()
        .describe("Address where anyone may read the log and ask for proofs and co-signatures; none by default."),
      requestsPerSecond: count(1, 100_000).default(100).describe("Requests for proofs of one client."),
    })
    .prefault({}),
  publish: z
    .strictObject({
      maxBatch: count(1, 4096).default(256).describe("Envelopes signed and stored in one commit at most."),
      gossipRatePerSecond: count(0, 10_000)
        .default(50)
        .describe("Fresh envelopes broadcast; above it peers fetch them."),
    })
    .prefault({}),
});

export type Config = z.output<typeof configSchema>;

/** Fields with their path and kind, found by walking the schema; drives variables and flags. */
interface Leaf {
  readonly path: readonly string[];
  readonly kind: "string" | "array" | "other";
}

function leaves(schema: z.core.$ZodType, path: readonly string[] = []): Leaf[] {
  const { def } = schema._zod;
  if ("innerType" in def) return leaves(def.innerType as z.core.$ZodType, path);
  if (def.type === "object") {
    const { shape } = def as z.core.$ZodObjectDef;
    return Object.entries(shape).flatMap(([name, field]) => leaves(field, [...path, name]));
  }
  const kind = def.type === "string" || def.type === "enum" ? "string" : def.type === "array" ? "array" : "other";
  return [{ path, kind }];
}

const LEAVES: readonly Leaf[] = leaves(configSchema);

/** `planes.libp2p.maxConnections` → `SPINE_PLANES_LIBP2P_MAX_CONNECTIONS`. */
export function variableName(path: readonly string[]): string {
  return `SPINE_${path.map((part) => part.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()).join("_")}`;
}

/** Text from a variable or flag: arrays are comma-separated or JSON, booleans and numbers spelled as in YAML. */
function fromText(kind: Leaf["kind"], text: string): unknown {
  if (kind === "string") return text;
  if (kind === "array" && text.startsWith("[")) return fromJson(text);
  if (kind === "array") return text === "" ? [] : text.split(",").map((part) => part.trim());
  if (text === "true" || text === "false") return text === "true";
  return /^-?\d+$/.test(text) ? Number(text) : text;
}

/** What is no JSON stays text, which the schema refuses with its path. */
function fromJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

type Tree = { [name: string]: unknown };

function setPath(tree: Tree, path: readonly string[], value: unknown): void {
  let at = tree;
  for (const part of path.slice(0, -1)) {
    const next = at[part];
    // A wrong kind in the file is left for the schema to report, with its path.
    if (next === undefined || next === null) at[part] = {};
    else if (typeof next !== "object" || Array.isArray(next)) return;
    at = at[part] as Tree;
  }
  at[path.at(-1) as string] = value;
}

export interface ConfigSources {
  /** Parsed content of the file; undefined or null when absent or empty. */
  readonly file: unknown;
  readonly env: NodeJS.ProcessEnv;
  /** `path.to.field` → text. */
  readonly flags: Readonly<Record<string, string>>;
}

/** Pure: merges and validates. Throws `config_invalid`, its message one `path: problem` per line. */
export function resolveConfig(sources: ConfigSources): Config {
  const base = sources.file ?? {};
  if (typeof base !== "object" || Array.isArray(base)) {
    throw new SpineError("config_invalid", "(file): expected fields with values, such as `name: my-node`");
  }
  const tree = structuredClone(base) as Tree;
  for (const { path, kind } of LEAVES) {
    const text = sources.env[variableName(path)];
    if (text !== undefined) setPath(tree, path, fromText(kind, text));
  }
  const unknown: string[] = [];
  for (const [name, text] of Object.entries(sources.flags)) {
    const leaf = LEAVES.find((one) => one.path.join(".") === name);
    if (leaf) setPath(tree, leaf.path, fromText(leaf.kind, text));
    else unknown.push(`${name}: no such field (flag)`);
  }
  const result = configSchema.safeParse(tree);
  const problems = [...unknown, ...(result.success ? [] : result.error.issues.map(problemText))];
  if (problems.length > 0 || !result.success) throw new SpineError("config_invalid", problems.join("\n"));
  return result.data;
}

function problemText(issue: z.core.$ZodIssue): string {
  const path = issue.path.reduce<string>(
    (text, part) =>
      typeof part === "number" ? `${text}[${part}]` : text === "" ? String(part) : `${text}.${String(part)}`,
    "",
  );
  return `${path === "" ? "(top level)" : path}: ${issue.message}`;
}

/** JSON Schema of the file (draft 2020-12), for editors and `spine config schema`. */
export function configJsonSchema(): object {
  return z.toJSONSchema(configSchema, { io: "input" });
}

/** Fields whose text is a secret. */
const SECRET_FIELDS: ReadonlySet<string> = new Set(["passphrase"]);

/** The configuration without what must not be shown: passphrases, passwords inside URLs. Keys live in their own files. */
export function redactConfig<T>(value: T): T {
  if (typeof value === "string") return value.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^@/\s]*@/i, "$1[redacted]@") as T;
  if (Array.isArray(value)) return value.map(redactConfig) as T;
  if (typeof value !== "object" || value === null) return value;
  const shown = (name: string, one: unknown): unknown =>
    SECRET_FIELDS.has(name) && one !== undefined ? "[redacted]" : redactConfig(one);
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, shown(name, one)])) as T;
}
