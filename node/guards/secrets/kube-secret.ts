/** Values of a Kubernetes `Secret` manifest: base64 under `data`, plain under `stringData`. */

export interface ManifestValue {
  readonly start: number;
  readonly end: number;
}

const MAX_MANIFEST_CHARS = 8192;
const ENTRY =
  /^[ \t]{1,12}["']?[\w.-]{1,120}["']?[ \t]{0,4}:[ \t]{0,4}["']?([A-Za-z0-9+/]{8,6000}={0,2})["']?[ \t]*,?$/;

export interface ManifestPart {
  readonly values: readonly ManifestValue[];
  /** How far it was read: what stands before this need not be read again. */
  readonly end: number;
}

/** `at` is where `kind: Secret` stands; looks at the document around it, not before `floor`. At most 16 values. */
export function manifestValues(text: string, at: number, floor: number): ManifestPart {
  const start = Math.max(floor, at - MAX_MANIFEST_CHARS);
  const before = text.slice(start, at).lastIndexOf("\n---");
  const from = before < 0 ? start : start + before;
  const rest = text.slice(at, at + MAX_MANIFEST_CHARS);
  const after = rest.indexOf("\n---");
  const document = text.slice(from, at + (after < 0 ? rest.length : after));
  const values: ManifestValue[] = [];
  let inData = false;
  let offset = from;
  for (const line of document.split("\n")) {
    if (/^["' \t]{0,8}data["']?[ \t]*:/.test(line)) inData = true;
    else if (/^[A-Za-z"']/.test(line)) inData = false;
    else if (inData && values.length < 16) {
      const encoded = ENTRY.exec(line.trimEnd())?.[1];
      if (encoded !== undefined && isText(encoded)) {
        const start = offset + line.indexOf(encoded);
        values.push({ start, end: start + encoded.length });
      }
    }
    offset += line.length + 1;
  }
  return { values, end: from + document.length };
}

/** Base64 of something printable, or of a key's bytes: anything that decodes without rest. */
function isText(encoded: string): boolean {
  return encoded.length % 4 === 0 && Buffer.from(encoded, "base64").length >= 5;
}
