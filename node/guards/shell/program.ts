/** Reading one command of a line: the program behind wrappers, its operands, the paths a word may name, known output. */
import * as known from "./commands.ts";
import type { KnownOutput, Pipeline, ShellVariables, Word } from "./parse.ts";

/** Variables whose value is certain: home, working directory, and what the line itself assigned. */
export class Variables implements ShellVariables {
  readonly #values = new Map<string, string>();
  constructor(context: { readonly cwd?: string | undefined; readonly home?: string | undefined }) {
    if (context.home !== undefined) this.#values.set("HOME", context.home);
    else this.#values.set("HOME", "~");
    if (context.cwd !== undefined) this.#values.set("PWD", context.cwd);
  }
  get(name: string): string | undefined {
    return this.#values.get(name);
  }
  set(name: string, value: string): void {
    if (this.#values.size < 256) this.#values.set(name, value);
    else this.#values.delete(name);
  }
  unset(name: string): void {
    this.#values.delete(name);
  }
}

/** Strips wrappers such as `sudo -u x env A=b` from the front. */
export function unwrap(words: readonly Word[]): readonly Word[] {
  let rest = words;
  for (let hops = 0; hops < 16; hops++) {
    const name = programName(rest[0]);
    if (!Object.hasOwn(known.WRAPPERS, name) || rest.length < 2) return rest;
    const values = known.WRAPPER_VALUES[name] ?? [];
    let operands = known.WRAPPERS[name] as number;
    let at = 1;
    for (; at < rest.length; at++) {
      const text = (rest[at] as Word).text;
      if (text === "--") {
        at++;
        break;
      }
      if (text.startsWith("-") && text.length > 1) {
        if (values.includes(text)) at++;
      } else if (/^[A-Za-z_]\w*=/.test(text) && (name === "env" || name === "sudo")) {
      } else if (operands > 0) operands--;
      else break;
    }
    if (at >= rest.length) return rest;
    rest = rest.slice(at);
  }
  return rest;
}

/** Last path component without version suffixes of interpreters: `/usr/bin/python3.12` is `python3`. */
export function programName(word: Word | undefined): string {
  const base = word?.text.split("/").at(-1) ?? "";
  return base.replace(/^(python3?|perl|ruby|lua|php)[\d.]+$/, "$1").replace(/\.exe$/i, "");
}

export function operandsOf(args: readonly Word[], withValue: readonly string[]): readonly Word[] {
  const out: Word[] = [];
  for (let at = 0; at < args.length; at++) {
    const word = args[at] as Word;
    if (word.text === "--") return [...out, ...args.slice(at + 1)];
    if (word.text.startsWith("-") && word.text !== "-") {
      // `-sSo file`: the last letter of a cluster may take the value.
      const cluster = /^-[A-Za-z]{2,}$/.test(word.text) ? `-${word.text.at(-1)}` : word.text;
      if (withValue.includes(word.text) || withValue.includes(cluster)) at++;
    } else out.push(word);
  }
  return out;
}

/** Paths a word may name: itself, what follows `=` or `@`, the tail of a glued short option. */
export function pathsIn(text: string): readonly string[] {
  if (text === "" || text === "-" || text === "--") return [];
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text) && !/^file:/i.test(text)) return [];
  const out = new Set<string>();
  if (!text.startsWith("-")) out.add(text);
  const equals = text.indexOf("=");
  if (equals >= 0 && equals + 1 < text.length) out.add(text.slice(equals + 1));
  for (const path of [...out]) {
    const at = path.lastIndexOf("@");
    if (at >= 0 && at + 1 < path.length) out.add(path.slice(at + 1));
  }
  const glued = /^-[A-Za-z]@?([/~.].+)$/.exec(text);
  if (glued !== null) out.add(glued[1] as string);
  return [...out];
}

/** What a script prints, when that is certain: echo, printf, and decoders of such. */
export const staticOutput: KnownOutput = (script) => {
  if (script.pipelines.length !== 1 || script.nested.some((inner) => staticOutput(inner.script) === undefined))
    return undefined;
  let output: string | undefined;
  for (const [at, command] of (script.pipelines[0] as Pipeline).entries()) {
    const words = unwrap(command.words);
    const name = programName(words[0]);
    const here = command.redirects.length === 1 && /^<<[<-]?$/.test(command.redirects[0]?.operator ?? "");
    if (here && at === 0 && name === "cat" && words.length === 1) {
      output = command.redirects[0]?.target.text;
      continue;
    }
    if (words.some((word) => word.dynamic || word.glob) || command.redirects.length > 0) return undefined;
    const args = words.slice(1).map((word) => word.text);
    if (at === 0) {
      if (name === "echo") output = args.filter((arg, i) => !(i === 0 && /^-[neE]+$/.test(arg))).join(" ");
      else if (name === "printf") output = printed(args);
      else return undefined;
    } else if (output === undefined) return undefined;
    else if (name === "base64" && args.some((arg) => /^(?:-d|-D|--decode)$/.test(arg)))
      output = Buffer.from(output, "base64").toString("utf8");
    else if (name === "xxd" && args.includes("-r"))
      output = Buffer.from(output.replace(/\s+/g, ""), "hex").toString("utf8");
    else if (name === "rev") output = [...output].reverse().join("");
    else if (name !== "cat") return undefined;
  }
  return output?.replace(/\n+$/, "");
};

/** `printf` with plain text and `%s`; anything else is not known. */
function printed(args: readonly string[]): string | undefined {
  const [format, ...values] = args;
  if (format === undefined || /%(?!s)/.test(format)) return undefined;
  if (!format.includes("%s")) return format.replaceAll("\\n", "\n");
  const left = [...values];
  let out = "";
  do out += format.replaceAll("\\n", "\n").replace(/%s/g, () => left.shift() ?? "");
  while (left.length > 0 && out.length < 65_536);
  return out;
}
