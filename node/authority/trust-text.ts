/**
 * A reader for the layout in which Spine itself writes `trust.yaml`: ten thousand entries in milliseconds, where the YAML
 * library takes half a second. Whatever it does not know for certain it leaves to the library. Used by `trust-file.ts`.
 */

/** A mapping's line, at the top or in an entry; an entry's first line; an item of a list in an entry. */
const TOP = /^([a-zA-Z]+):(?: (.+))?$/;
const ENTRY = /^ {2}- ([a-zA-Z]+): (.+)$/;
const FIELD = /^ {4}([a-zA-Z]+):(?: (.+))?$/;
const ITEM = /^ {6}- (.+)$/;
/** Letters, digits and pictures of any script: nothing but ASCII has a meaning of its own in YAML. */
const OTHER = "(?![\\0-\\x7f])[\\p{L}\\p{M}\\p{N}\\p{S}]";
const WORD = `(?:[A-Za-z0-9_-]|${OTHER})+`;
/** Text that means itself in every YAML version: words, single spaces between; a colon inside is followed by more text. */
const PLAIN = new RegExp(`^(?=[A-Za-z]|${OTHER})${WORD}(?:(?: |:(?=[A-Za-z0-9]))${WORD})*$`, "u");
const WORDS: ReadonlySet<string> = new Set(["true", "false", "null", "yes", "no", "on", "off", "y", "n"]);
const QUOTED = /^"([^"\\]*)"$/;
const COUNT = /^(?:0|[1-9][0-9]{0,8})$/;

type Value = string | number | boolean | Value[] | { [key: string]: Value };

function scalar(text: string): Value | undefined {
  if (COUNT.test(text)) return Number(text);
  if (text === "true" || text === "false") return text === "true";
  if (text === "[]") return [];
  const quoted = QUOTED.exec(text);
  // Control characters have rules of their own.
  if (quoted !== null) return /^[\x20-\x7e]*$/.test(quoted[1] as string) ? quoted[1] : undefined;
  return PLAIN.test(text) && !WORDS.has(text.toLowerCase()) ? text : undefined;
}

type Mapping = { [key: string]: Value };

function put(to: Mapping, key: string, value: Value | undefined): boolean {
  if (value === undefined || Object.hasOwn(to, key)) return false;
  to[key] = value;
  return true;
}

/** Takes line after line; `take` says whether it is certain of it. */
class LayoutReader {
  readonly out: Mapping = {};
  /** The list that was begun at the top, the entry in it, the list that was begun in the entry. */
  #list: Value[] | undefined;
  #entry: Mapping | undefined;
  #items: Value[] | undefined;

  /** A list that was begun and got nothing is null to YAML. */
  get isWhole(): boolean {
    return this.#list?.length !== 0 && this.#items?.length !== 0;
  }

  take(line: string): boolean {
    if (line === "" || line.startsWith("#")) return true;
    const item = ITEM.exec(line);
    if (item !== null) {
      const value = this.#items === undefined ? undefined : scalar(item[1] as string);
      return value !== undefined && (this.#items as Value[]).push(value) > 0;
    }
    if (this.#items?.length === 0) return false;
    const first = ENTRY.exec(line);
    if (first !== null) {
      if (this.#list === undefined) return false;
      [this.#entry, this.#items] = [{}, undefined];
      this.#list.push(this.#entry);
      return put(this.#entry, first[1] as string, scalar(first[2] as string));
    }
    const field = FIELD.exec(line);
    if (field !== null) {
      if (this.#entry === undefined) return false;
      this.#items = field[2] === undefined ? [] : undefined;
      return put(this.#entry, field[1] as string, this.#items ?? scalar(field[2] as string));
    }
    const top = TOP.exec(line);
    if (top === null || this.#list?.length === 0) return false;
    [this.#entry, this.#items] = [undefined, undefined];
    this.#list = top[2] === undefined ? [] : undefined;
    return put(this.out, top[1] as string, this.#list ?? scalar(top[2] as string));
  }
}

/** The value, or undefined for any text that is not certainly of that layout. */
export function readTrustLayout(text: string): { readonly [key: string]: unknown } | undefined {
  const reader = new LayoutReader();
  for (const line of text.split("\n")) if (!reader.take(line)) return undefined;
  return reader.isWhole ? reader.out : undefined;
}
