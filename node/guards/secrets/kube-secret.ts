/** Values of a Kubernetes `Secret` manifest: base64 under `data`, plain under `stringData`. */

export interface ManifestValue {
  readonly start: number;
  readonly end: number;
}

const MAX_MANIFEST_CHARS = 8192;
const ENTRY =
  /^[ \t]{1,12}["']?[\w.-]{1,120}["']?[ \t]{0,4}:[ \t]{0,4}["']?([A-Za-z0-9+/]{8,6000}={0,2})["']?[ \t]*,?$/;

/** `at` is where `kind: Secret` stands; looks at the document around it. At most 16 values. */
export function manifestValues(text: string, at: number): readonly ManifestValue[] {
  const before = text.lastIndexOf("\n---", at);
  const from = Math.max(before, at - MAX_MANIFEST_CHARS, 0);
  const after = text.indexOf("\n---", at);
  const document = text.slice(from, Math.min(after < 0 ? text.length : after, at + MAX_MANIFEST_CHARS));
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
  return values;
}

/** Base64 of something printable, or of a key's bytes: anything that decodes without rest. */
function isText(encoded: string): boolean {
  return encoded.length % 4 === 0 && Buffer.from(encoded, "base64").length >= 5;
}
