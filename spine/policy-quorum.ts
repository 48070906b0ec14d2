/** Trust in logs and witnesses as a text policy (c2sp.org/tlog-policy): read, evaluated, and applied to signed notes. */
import { equalBytes, utf8 } from "./bytes.ts";
import { SpineError } from "./errors.ts";
import { type SignedNote, verifyNote } from "./note.ts";
import type { Sha256, Verifier } from "./ports.ts";
import { parseTreeHead, type TreeHead } from "./tree-head.ts";
import { type NoteKey, NoteKeyType, parseNoteKey } from "./vkey.ts";

/** Longest policy text read, bytes. */
export const MAX_POLICY_BYTES = 65_536;
const MAX_NAMES = 256;

export interface PolicyLog {
  readonly key: NoteKey;
  readonly url: string | null;
}
export interface PolicyWitness {
  readonly name: string;
  readonly key: NoteKey;
  readonly url: string | null;
}
export interface PolicyGroup {
  readonly name: string;
  /** How many of the members must hold. */
  readonly threshold: number;
  /** Names of witnesses and of earlier groups. */
  readonly members: readonly string[];
}
export interface QuorumPolicy {
  readonly logs: readonly PolicyLog[];
  readonly witnesses: readonly PolicyWitness[];
  readonly groups: readonly PolicyGroup[];
  /** Name of a witness or group; null: no witness is needed. */
  readonly quorum: string | null;
}

class PolicyReader {
  readonly #sha256: Sha256;
  readonly #logs: PolicyLog[] = [];
  readonly #witnesses: PolicyWitness[] = [];
  readonly #groups: PolicyGroup[] = [];
  readonly #names = new Set<string>();
  readonly #members = new Set<string>();
  #quorum: string | null | undefined;
  constructor(sha256: Sha256) {
    this.#sha256 = sha256;
  }

  line(fields: readonly string[]): void {
    const [keyword, ...rest] = fields;
    if (keyword === "log") this.#log(rest);
    else if (keyword === "witness") this.#witness(rest);
    else if (keyword === "group") this.#group(rest);
    else if (keyword === "quorum") this.#setQuorum(rest);
    else throw bad(`unknown keyword ${keyword ?? ""}`);
  }

  finish(): QuorumPolicy {
    if (this.#quorum === undefined) throw bad("no quorum line");
    return { logs: this.#logs, witnesses: this.#witnesses, groups: this.#groups, quorum: this.#quorum };
  }

  #key(vkey: string, type: NoteKeyType, known: readonly { key: NoteKey }[]): NoteKey {
    const key = parseNoteKey(this.#sha256, vkey);
    if (key.type !== type) throw bad(`key type ${key.type} in a place for type ${type}`);
    if (known.some((other) => equalBytes(other.key.publicKey, key.publicKey))) throw bad("one key stands twice");
    return key;
  }

  #name(name: string): string {
    if (name === "none" || this.#names.has(name)) throw bad(`name ${name} is taken`);
    if (this.#names.size >= MAX_NAMES) throw bad(`more than ${MAX_NAMES} names`);
    this.#names.add(name);
    return name;
  }

  #log([vkey, url, ...rest]: readonly string[]): void {
    if (vkey === undefined || rest.length > 0) throw bad("log VKEY [URL]");
    if (this.#logs.length >= MAX_NAMES) throw bad(`more than ${MAX_NAMES} logs`);
    this.#logs.push({ key: this.#key(vkey, NoteKeyType.ed25519, this.#logs), url: url ?? null });
  }

  #witness([name, vkey, url, ...rest]: readonly string[]): void {
    if (name === undefined || vkey === undefined || rest.length > 0) throw bad("witness NAME VKEY [URL]");
    const key = this.#key(vkey, NoteKeyType.cosignature, this.#witnesses);
    this.#witnesses.push({ name: this.#name(name), key, url: url ?? null });
  }

  #group([name, rule, ...members]: readonly string[]): void {
    if (name === undefined || rule === undefined || members.length === 0) throw bad("group NAME all|any|K MEMBERS");
    const threshold =
      rule === "all" ? members.length : rule === "any" ? 1 : /^[1-9][0-9]{0,2}$/.test(rule) ? Number(rule) : 0;
    if (threshold < 1 || threshold > members.length) throw bad(`group ${name} needs ${rule} of ${members.length}`);
    for (const member of members) {
      if (!this.#names.has(member)) throw bad(`member ${member} is not defined above`);
      if (this.#members.has(member)) throw bad(`${member} is a member twice`);
      this.#members.add(member);
    }
    this.#groups.push({ name: this.#name(name), threshold, members });
  }

  #setQuorum([name, ...rest]: readonly string[]): void {
    if (name === undefined || rest.length > 0) throw bad("quorum NAME|none");
    if (this.#quorum !== undefined) throw bad("two quorum lines");
    if (name !== "none" && !this.#names.has(name)) throw bad(`quorum ${name} is not defined above`);
    this.#quorum = name === "none" ? null : name;
  }
}

function bad(what: string): SpineError {
  return new SpineError("quorum_policy", what);
}

/** Throws `quorum_policy` (with the line number) or `vkey_invalid`. */
export function parseQuorumPolicy(sha256: Sha256, text: string): QuorumPolicy {
  if (text.length > MAX_POLICY_BYTES || utf8(text).length > MAX_POLICY_BYTES) throw bad("policy too long");
  if (/[\u0000-\u0008\u000b-\u001f\u007f\p{Cs}]/u.test(text)) throw bad("control character");
  const reader = new PolicyReader(sha256);
  text.split("\n").forEach((line, i) => {
    const fields = line.split(/[ \t]+/).filter((field) => field !== "");
    if (fields.length === 0 || fields[0]?.startsWith("#")) return;
    try {
      reader.line(fields);
    } catch (cause) {
      if (!(cause instanceof SpineError)) throw cause;
      throw new SpineError(cause.code, `line ${i + 1}: ${cause.message}`, { cause });
    }
  });
  return reader.finish();
}

/** `signed`: names of the witnesses whose co-signatures were verified. */
export function isQuorum(policy: QuorumPolicy, signed: ReadonlySet<string>): boolean {
  if (policy.quorum === null) return true;
  const holding = new Set(policy.witnesses.map((witness) => witness.name).filter((name) => signed.has(name)));
  for (const group of policy.groups) {
    if (group.members.filter((member) => holding.has(member)).length >= group.threshold) holding.add(group.name);
  }
  return holding.has(policy.quorum);
}

export interface CosignedHead {
  readonly head: TreeHead;
  readonly log: NoteKey;
  /** Names, from the policy, of the witnesses that co-signed. */
  readonly witnesses: readonly string[];
  /** Oldest of their co-signatures, POSIX seconds; null when none was needed or made. */
  readonly oldestTimestamp: number | null;
}

/**
 * A checkpoint note under a policy: signed by a listed log whose key name is the origin, and by a quorum. Rejects with
 * `log_not_allowed`, `quorum_missing`, `note_unsigned`, `note_signature` or `tree_head_invalid`.
 */
export async function verifyCosigned(
  policy: QuorumPolicy,
  note: SignedNote,
  verifier: Verifier,
): Promise<CosignedHead> {
  const head = parseTreeHead(note.text);
  const logs = policy.logs.filter((log) => log.key.name === head.origin).map((log) => log.key);
  if (logs.length === 0) throw new SpineError("log_not_allowed", "no log of this origin in the policy");
  const verified = await verifyNote(note, [...logs, ...policy.witnesses.map((witness) => witness.key)], verifier);
  const log = verified.find((signature) => signature.key.type === NoteKeyType.ed25519)?.key;
  if (log === undefined) throw new SpineError("note_unsigned", "the log itself did not sign");
  const signed = policy.witnesses.filter((witness) => verified.some((signature) => signature.key === witness.key));
  if (!isQuorum(policy, new Set(signed.map((witness) => witness.name)))) {
    throw new SpineError("quorum_missing", `${signed.length} of the policy's witnesses co-signed`);
  }
  const times = verified.flatMap((signature) => (signature.timestamp === null ? [] : [signature.timestamp]));
  const oldestTimestamp = times.length === 0 ? null : Math.min(...times);
  return { head, log, witnesses: signed.map((witness) => witness.name), oldestTimestamp };
}
