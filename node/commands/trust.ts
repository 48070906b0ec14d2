/** `spine trust show|add|remove|import|confirm`: whose word counts. Works on the files, with or without a daemon. */
import { access, readFile } from "node:fs/promises";
import { REVOCATION_SCOPES, type RevocationScope, SpineError } from "../../spine/index.ts";
import { curatorsFromToml } from "../authority/curators-toml.ts";
import {
  checkTrust,
  EMPTY_TRUST,
  readTrustFile,
  TRUST_ROLES,
  type TrustFile,
  type TrustKind,
  type TrustRole,
  writeTrustFile,
} from "../authority/trust-file.ts";
import { changeTrust, confirmTrust, reloadTrust, type TrustPaths } from "../authority/trust-keeper.ts";
import type { NodeDir } from "../dir.ts";
import type { Verb, VerbContext } from "./verb.ts";

/** As named on the command line. */
const ROLES: Readonly<Record<string, TrustRole>> = {
  curator: "curators",
  revoker: "revokers",
  log: "logs",
  witness: "witnesses",
  "token-issuer": "tokenIssuers",
  issuer: "issuers",
};
const ROLE_NAMES = Object.keys(ROLES).join("|");

/** Throws `key_missing` where no node is: trust without a node would be found by nobody. */
async function pathsOf(dir: NodeDir): Promise<TrustPaths> {
  await access(dir.issuerKey).catch((cause: unknown) => {
    throw new SpineError("key_missing", `no node in ${dir.path}`, { cause });
  });
  return { file: dir.trust, accepted: dir.trustAccepted };
}

function roleOf(word: string | undefined): TrustRole {
  const role = Object.hasOwn(ROLES, word ?? "") ? ROLES[word as string] : undefined;
  if (role === undefined)
    throw new SpineError("usage", `unknown role "${word}"; known: ${Object.keys(ROLES).join(", ")}`);
  return role;
}

function numberOf(context: VerbContext, name: string): number | undefined {
  const text = context.text(name);
  if (text === undefined) return undefined;
  if (!/^\d{1,4}$/.test(text)) throw new SpineError("usage", `--${name} ${text} is no count`);
  return Number(text);
}

/** Options that only one role takes. */
const OPTIONS: Readonly<Record<string, TrustRole>> = {
  level: "curators",
  scope: "revokers",
  quorum: "revokers",
  attests: "issuers",
  recovery: "issuers",
};

function entryOf(context: VerbContext, role: TrustRole, key: string): Record<string, unknown> {
  for (const [option, owner] of Object.entries(OPTIONS)) {
    const given =
      option === "attests" ? context.flag(option) : context.texts(option).length > 0 || context.text(option);
    if (given && owner !== role) throw new SpineError("usage", `--${option} belongs to another role`);
  }
  const name = context.text("name");
  const entry: Record<string, unknown> = { key, ...(name === undefined ? {} : { name }) };
  const [level, recovery, quorum] = [context.text("level"), context.text("recovery"), numberOf(context, "quorum")];
  if (level !== undefined) entry["level"] = level;
  if (recovery !== undefined) entry["recoveryKeyHash"] = recovery;
  if (quorum !== undefined) entry["quorum"] = quorum;
  if (context.flag("attests")) entry["attests"] = true;
  if (role === "revokers") entry["scope"] = context.texts("scope").flatMap((text) => text.split(","));
  return entry;
}

/** The trust with one entry put in or taken out; checked as a whole. */
function changed(
  trust: TrustFile,
  kind: TrustKind,
  role: TrustRole,
  key: string,
  entry?: Record<string, unknown>,
): TrustFile {
  const others = (trust[role] as readonly { readonly key: string }[]).filter((one) => one.key !== key);
  return checkTrust({ ...trust, [role]: entry === undefined ? others : [...others, entry] }, "trust", kind);
}

export const trustShow: Verb = {
  usage: "trust show",
  about: "Prints the trust in effect, and what the trust file would loosen but was not confirmed.",
  examples: ["spine trust show --json"],
  operands: { least: 0, most: 0 },
  async run({ dir, out, json, note }) {
    const { effective, pending, problem } = await reloadTrust(await pathsOf(dir));
    if (json) {
      await out.line({ ...effective, pending, problem: problem?.message ?? null });
      return problem === null ? 0 : 1;
    }
    for (const role of TRUST_ROLES)
      for (const { key, name, ...rest } of effective[role]) {
        const details = Object.entries(rest)
          .filter(([, value]) => !Array.isArray(value) || value.length > 0)
          .map(([field, value]) => `${field}=${String(value)}`);
        await out.line([role.padEnd(12), key, ...details, ...(name === undefined ? [] : [`(${name})`])].join("  "));
      }
    await out.line(`${"quorum".padEnd(12)}  ${effective.witnessQuorum} of ${effective.witnesses.length} witnesses`);
    for (const one of pending) note(`waits for "spine trust confirm": ${one}`);
    if (problem !== null) note(`${problem.message}; the former trust stays in effect`);
    return problem === null ? 0 : 1;
  },
};

export const trustAdd: Verb = {
  usage: `trust add ${ROLE_NAMES} KEY`,
  about: "Believes a key in one role from now on, or changes how: this and nothing else is confirmed by it.",
  examples: [
    `spine trust add curator aegis:ed25519:${"0".repeat(64)} --level full`,
    `spine trust add revoker aegis:ed25519:${"0".repeat(64)} --scope node,key --quorum 2`,
  ],
  options: {
    name: { type: "string", value: "NAME", help: "For people." },
    level: { type: "string", value: "LEVEL", help: "Of a curator: full or audit-only (the default)." },
    scope: { type: "string", value: "SCOPE", multiple: true, help: `Of a revoker: ${REVOCATION_SCOPES.join(", ")}.` },
    quorum: { type: "string", value: "N", help: "Of a revoker: how many must agree, it included (1)." },
    attests: { type: "boolean", help: "Of an issuer: its attestations admit others." },
    recovery: { type: "string", value: "HASH", help: "Of an issuer: the commitment to its recovery key." },
  },
  operands: { least: 2, most: 2 },
  async run(context) {
    const { operands, dir, out, json } = context;
    const role = roleOf(operands[0]);
    const key = operands[1] as string;
    const entry = entryOf(context, role, key);
    for (const scope of (entry["scope"] ?? []) as string[])
      if (!REVOCATION_SCOPES.includes(scope as RevocationScope))
        throw new SpineError("usage", `unknown scope "${scope}"`);
    await changeTrust(await pathsOf(dir), (trust, kind) => changed(trust, kind, role, key, entry));
    await out.line(json ? { role, added: key } : `added ${key} to ${role}`);
    return 0;
  },
};

export const trustRemove: Verb = {
  usage: `trust remove ${ROLE_NAMES} KEY`,
  about: "Believes a key in one role no more. A removed revoker's revocations lose their effect.",
  examples: [`spine trust remove curator aegis:ed25519:${"0".repeat(64)}`],
  operands: { least: 2, most: 2 },
  async run({ operands, dir, out, json }) {
    const role = roleOf(operands[0]);
    const key = operands[1] as string;
    const paths = await pathsOf(dir);
    const { effective } = await reloadTrust(paths);
    if (!(effective[role] as readonly { readonly key: string }[]).some((one) => one.key === key))
      throw new SpineError("usage", `${key} is not among ${role}`);
    await changeTrust(paths, (trust, kind) => changed(trust, kind, role, key));
    await out.line(json ? { role, removed: key } : `removed ${key} from ${role}`);
    return 0;
  },
};

export const trustImport: Verb = {
  usage: "trust import FILE",
  about:
    "Puts the curators of a trusted_curators.toml into the trust file, over those of the same key. Nothing that loosens\n" +
    "takes effect before `spine trust confirm`.",
  examples: ["spine trust import ~/.clawdstrike/trusted_curators.toml"],
  operands: { least: 1, most: 1 },
  async run({ operands, dir, out, json, note }) {
    const path = operands[0] as string;
    const paths = await pathsOf(dir);
    const text = await readFile(path, "utf8").catch((cause: unknown) => {
      throw new SpineError("config_invalid", `${path}: cannot be read`, { cause });
    });
    const curators = curatorsFromToml(text, path);
    const file = (await readTrustFile(paths.file)) ?? EMPTY_TRUST;
    const named = new Set(curators.map(({ key }) => key));
    const kept = file.curators.filter(({ key }) => !named.has(key));
    await writeTrustFile(paths.file, checkTrust({ ...file, curators: [...kept, ...curators] }, path));
    for (const { key, level } of curators)
      await out.line(json ? { imported: key, level } : `imported ${key}  ${level}`);
    for (const one of (await reloadTrust(paths)).pending) note(`waits for "spine trust confirm": ${one}`);
    return 0;
  },
};

export const trustConfirm: Verb = {
  usage: "trust confirm",
  about:
    "Puts the trust file into effect as it stands, with everything that it loosens. Read `spine trust show` first.",
  examples: ["spine trust confirm"],
  operands: { least: 0, most: 0 },
  async run({ dir, out, json }) {
    const confirmed = await confirmTrust(await pathsOf(dir));
    for (const one of confirmed) await out.line(json ? { confirmed: one } : `confirmed: ${one}`);
    return 0;
  },
};
