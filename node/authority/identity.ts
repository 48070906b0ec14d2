/**
 * The keys an issuer commits to at seq 1, and handing over to them (rules 7): makes the next key and the recovery key,
 * writes the genesis, swaps the key files. Called by `init.ts`, `runtime.ts` and the `rotate` and `succeed` verbs.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import {
  commitToKey,
  draftRotation,
  draftSuccession,
  fromHex,
  genesisFact,
  type Issuer,
  type JsonObject,
  type KeyCommitment,
  NOTHING_SIGNED,
  SpineError,
  sealHandover,
  toHex,
} from "../../spine/index.ts";
import type { NodeDir } from "../dir.ts";
import { errorCodeOf, setAside, syncDir, writeFileAtomic } from "../files.ts";
import { sha256Hex } from "../hash.ts";
import { createKeyFile, readKeyFile } from "../keyfile.ts";
import { createSigner, type IssuerSigner } from "../signer.ts";
import { createHighWater } from "./high-water.ts";

const PUBLIC_LINE = /^spine-public v1 recovery ed25519 ([0-9a-f]{64})\n?$/;

/** Where a handover leaves the old chain: the last envelope its owner stands by. */
export interface LastGood {
  readonly seq: number;
  readonly hash: string | null;
}

/** Undefined in a directory made before there were recovery keys. Throws `key_invalid`. */
export async function readRecoveryPublic(dir: NodeDir): Promise<Uint8Array | undefined> {
  const text = await readFile(dir.recoveryPublic, "utf8").catch((cause: unknown) => {
    if (errorCodeOf(cause) === "ENOENT") return undefined;
    throw new SpineError("key_invalid", `${dir.recoveryPublic} cannot be read`, { cause });
  });
  if (text === undefined) return undefined;
  const found = PUBLIC_LINE.exec(text);
  if (found === null) throw new SpineError("key_invalid", `${dir.recoveryPublic} holds no recovery key's public half`);
  return fromHex(found[1] as string, 32);
}

/** Makes a recovery key, keeps its public half only, and returns the secret to be shown once. */
export async function createRecoveryKey(dir: NodeDir): Promise<Uint8Array> {
  const seed = randomBytes(32);
  const line = `spine-public v1 recovery ed25519 ${toHex(createSigner(seed).publicKey)}\n`;
  await writeFileAtomic(dir.recoveryPublic, line, { mode: 0o600, exclusive: false });
  return seed;
}

/** Made anew unless a run that was cut short left one that nobody has committed to. */
export async function ensureNextKey(dir: NodeDir): Promise<void> {
  await createKeyFile(dir.nextKey, "next").catch((caught: unknown) => {
    if (!(caught instanceof SpineError) || caught.code !== "key_exists") throw caught;
  });
}

/** The fact for seq 1; undefined where the directory has no keys to commit to. */
export async function genesisOf(dir: NodeDir, issuer: Issuer, nowMs: number): Promise<JsonObject | undefined> {
  const recoveryKey = await readRecoveryPublic(dir);
  if (recoveryKey === undefined) return undefined;
  const nextKey = createSigner(await readKeyFile(dir.nextKey, "next")).publicKey;
  const createdAt = Math.floor(nowMs / 1000);
  return genesisFact({ issuer, recoveryKey, nextKey, createdAt, factId: `gen_${randomUUID()}` }, sha256Hex);
}

export function commitmentOf(publicKey: Uint8Array): KeyCommitment {
  return commitToKey(publicKey, sha256Hex);
}

/** The rotation that reveals the committed next key, signed by both. */
export async function rotationFact(dir: NodeDir, last: LastGood, nowMs: number): Promise<JsonObject> {
  const old = createSigner(await readKeyFile(dir.issuerKey, "issuer"));
  const successor = createSigner(await readKeyFile(dir.nextKey, "next"));
  const draft = draftRotation(handover(old.issuer, successor, last, nowMs, "rot"));
  return sealHandover(draft, old.sign(draft.signingBytes), successor.sign(draft.signingBytes));
}

/** The succession that the recovery key signs. */
export function successionFact(
  old: Issuer,
  recovery: IssuerSigner,
  successor: IssuerSigner,
  last: LastGood,
  nowMs: number,
): JsonObject {
  const draft = draftSuccession(handover(old, successor, last, nowMs, "suc"), recovery.publicKey);
  return sealHandover(draft, recovery.sign(draft.signingBytes), successor.sign(draft.signingBytes));
}

function handover(old: Issuer, successor: IssuerSigner, last: LastGood, nowMs: number, prefix: string) {
  const issuedAt = Math.floor(nowMs / 1000);
  const [lastSeq, lastHash] = [last.seq, last.seq === 0 ? null : last.hash];
  return { factId: `${prefix}_${randomUUID()}`, old, lastSeq, lastHash, successor: successor.issuer, issuedAt };
}

/**
 * A key that has signed nothing becomes the issuer key. The mark that says so is there before it: a key beside neither
 * store nor mark was restored alone, and must ask what it signed (rules 7).
 */
export async function createIssuerKey(dir: NodeDir, seed: Uint8Array): Promise<Issuer> {
  const { issuer } = createSigner(seed);
  await createHighWater(dir.highWater, "issuer", issuer, NOTHING_SIGNED);
  await createKeyFile(dir.issuerKey, "issuer", seed);
  return issuer;
}

/**
 * The key in `next.key`, or a `fresh` one, becomes the issuer key, and a fresh next key stands ready for its genesis. Nothing is deleted. A
 * run that is cut short is completed by the next: the issuer key is replaced last.
 */
export async function takeNextKey(
  dir: NodeDir,
  options: { readonly fresh: boolean } = { fresh: false },
): Promise<Issuer> {
  const seed = options.fresh ? randomBytes(32) : await readKeyFile(dir.nextKey, "next");
  // Both speak of the old key's chain.
  for (const path of [dir.highWater, dir.ownKeyAlarm, dir.issuerKey]) await setAside(path);
  const issuer = await createIssuerKey(dir, seed);
  await setAside(dir.nextKey);
  await createKeyFile(dir.nextKey, "next");
  await syncDir(dir.path);
  return issuer;
}
