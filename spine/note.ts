/**
 * Signed notes (c2sp.org/signed-note): a text and signature lines. Parsed strictly, verified against known keys. Log
 * checkpoints travel in them, and public witnesses and monitors read them.
 */
import { fromBase64, toBase64 } from "./base64.ts";
import { concatBytes, equalBytes, utf8, utf8Text } from "./bytes.ts";
import { cosignatureMessage, splitCosignature } from "./cosignature.ts";
import { SpineError } from "./errors.ts";
import type { Claim, Verifier } from "./ports.ts";
import { isKeyName, type NoteKey, NoteKeyType } from "./vkey.ts";

/** Largest note read, bytes. */
export const MAX_NOTE_BYTES = 262_144;
/** Most signature lines read. */
export const MAX_NOTE_SIGNATURES = 100;

export interface NoteSignature {
  readonly name: string;
  /** 4 bytes. */
  readonly keyId: Uint8Array;
  /** What follows the key id: its length and meaning depend on the key's type. At least 1 byte. */
  readonly signature: Uint8Array;
}

export interface SignedNote {
  /** Ends in a line feed; has no other control characters. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/** A signature line that a known key made. */
export interface VerifiedSignature {
  readonly key: NoteKey;
  /** POSIX seconds of a co-signature, else null. */
  readonly timestamp: number | null;
  readonly line: NoteSignature;
}

/** Text and signature block, split at the last empty line; the block is not parsed. Throws `note_syntax`. */
export function splitNote(note: string): { text: string; block: string } {
  if (note.length > MAX_NOTE_BYTES || utf8(note).length > MAX_NOTE_BYTES) {
    throw new SpineError("note_syntax", `note above ${MAX_NOTE_BYTES} bytes`);
  }
  if (/[\u0000-\u0009\u000b-\u001f\p{Cs}]/u.test(note)) throw new SpineError("note_syntax", "control character");
  const end = note.lastIndexOf("\n\n");
  if (end < 0 || !note.endsWith("\n")) throw new SpineError("note_syntax", "no empty line before the signatures");
  return { text: note.slice(0, end + 1), block: note.slice(end + 2) };
}

/** Throws `note_syntax`: at least one signature line, each `— NAME BASE64` in strict base64. */
export function parseNote(note: string): SignedNote {
  const { text, block } = splitNote(note);
  return { text, signatures: parseSignatureLines(block) };
}

export function parseNoteBytes(bytes: Uint8Array): SignedNote {
  if (bytes.length > MAX_NOTE_BYTES) throw new SpineError("note_syntax", `note above ${MAX_NOTE_BYTES} bytes`);
  try {
    return parseNote(utf8Text(bytes));
  } catch (cause) {
    if (cause instanceof SpineError && cause.code === "note_syntax") throw cause;
    throw new SpineError("note_syntax", "the note is not UTF-8", { cause });
  }
}

/** One or more lines, each ended by a line feed: the end of a note, or a witness's answer. Throws `note_syntax`. */
export function parseSignatureLines(block: string): NoteSignature[] {
  const lines = block.split("\n");
  if (lines.pop() !== "" || lines.length === 0) throw new SpineError("note_syntax", "signature lines end early");
  if (lines.length > MAX_NOTE_SIGNATURES) throw new SpineError("note_syntax", `${lines.length} signature lines`);
  return lines.map((line) => {
    const match = /^\u2014 ([^ ]+) ([^ ]+)$/.exec(line);
    const bytes = match === null ? undefined : fromBase64(match[2] as string);
    if (match === null || bytes === undefined || bytes.length < 5 || !isKeyName(match[1] as string)) {
      throw new SpineError("note_syntax", "malformed signature line");
    }
    return { name: match[1] as string, keyId: bytes.subarray(0, 4), signature: bytes.subarray(4) };
  });
}

export function formatSignatureLine(signature: NoteSignature): string {
  return `\u2014 ${signature.name} ${toBase64(concatBytes(signature.keyId, signature.signature))}\n`;
}

export function formatNote(note: SignedNote): string {
  return `${note.text}\n${note.signatures.map(formatSignatureLine).join("")}`;
}

/** What a signature line claims, ready for a Verifier; undefined when its form is wrong for the key's type. */
export function noteClaim(
  text: string,
  key: NoteKey,
  line: NoteSignature,
): (Claim & { timestamp: number | null }) | undefined {
  if (key.type === NoteKeyType.ed25519) {
    if (line.signature.length !== 64) return undefined;
    return { key: key.publicKey, message: utf8(text), signature: line.signature, timestamp: null };
  }
  const split = splitCosignature(line.signature);
  if (split === undefined) return undefined;
  const message = cosignatureMessage(split.timestamp, text);
  return { key: key.publicKey, message, signature: split.signature, timestamp: split.timestamp };
}

/**
 * The lines made by `keys`, in the note's order. Lines of unknown keys are ignored. Rejects with `note_signature` when
 * a line of a known (name, id) is wrong, and with `note_unsigned` when no known key signed.
 */
export async function verifyNote(
  note: SignedNote,
  keys: readonly NoteKey[],
  verifier: Verifier,
): Promise<VerifiedSignature[]> {
  const verified: VerifiedSignature[] = [];
  const claims: Claim[] = [];
  for (const line of note.signatures) {
    const key = keys.find((known) => known.name === line.name && equalBytes(known.keyId, line.keyId));
    if (key === undefined) continue;
    const claim = noteClaim(note.text, key, line);
    if (claim === undefined) throw new SpineError("note_signature", `malformed signature of ${line.name}`);
    claims.push(claim);
    verified.push({ key, timestamp: claim.timestamp, line });
  }
  if (verified.length === 0) throw new SpineError("note_unsigned", "no signature by a known key");
  const verdicts = await verifier.verify(claims);
  const wrong = verified.find((_, i) => verdicts[i] !== true);
  if (wrong !== undefined) throw new SpineError("note_signature", `wrong signature of ${wrong.key.name}`);
  return verified;
}
