/**
 * Reads a command line as a POSIX shell (with the usual bash extensions) would: quotes, escapes, parameters, braces,
 * redirections, pipes, lists, substitutions, here-documents. It runs nothing; what it cannot know is marked, never guessed.
 */

import { ansiC, type Building, DECLARES, expandBraces, hasGlob, RESERVED, splitFields } from "./word.ts";

/** One word after quote removal and the expansions that can be known. */
export interface Word {
  readonly text: string;
  /** Part of it comes from a variable or command whose value is unknown. */
  readonly dynamic: boolean;
  /** Holds unquoted `*`, `?` or `[`. */
  readonly glob: boolean;
}

export interface Redirect {
  /** `<`, `>`, `>>`, `>|`, `&>`, `<>`, `<<`, `<<<`, `>&` and so on. */
  readonly operator: string;
  readonly target: Word;
}

export interface Command {
  readonly words: readonly Word[];
  readonly redirects: readonly Redirect[];
  readonly assignments: readonly { readonly name: string; readonly value: Word }[];
}

/** Commands joined by `|`. */
export type Pipeline = readonly Command[];

export interface Script {
  readonly pipelines: readonly Pipeline[];
  /** Scripts inside `$()`, backquotes, `<()` and `>()`, in order of appearance. */
  readonly nested: readonly { readonly kind: "substitution" | "process"; readonly script: Script }[];
  /** Why the text cannot be trusted to mean what was read: unclosed quotes, too deep, too long. */
  readonly problem?: string;
}

export interface ShellVariables {
  get(name: string): string | undefined;
  set(name: string, value: string): void;
  /** Its value is not known any more. */
  unset(name: string): void;
}

export const MAX_COMMAND_CHARS = 131_072;
const MAX_DEPTH = 12;
const MAX_WORDS = 4096;
const MAX_HERE_DOCS = 16;
/** Substitutions read in one here-document. */
const MAX_HERE_SCRIPTS = 64;
const BLANK = " \t";
/** Output of a substitution that is known without running it, such as `$(echo x)`; undefined when it is not. */
export type KnownOutput = (script: Script) => string | undefined;

export function parseShell(text: string, variables: ShellVariables, known: KnownOutput): Script {
  if (text.length > MAX_COMMAND_CHARS) return { pipelines: [], nested: [], problem: "command_too_long" };
  const parser = new Parser(text.replace(/\r\n/g, "\n").replace(/\\\n/g, ""), variables, known, { words: 0 }, 0);
  return parser.script(undefined);
}

interface Budget {
  words: number;
}

class Parser {
  readonly #text: string;
  readonly #variables: ShellVariables;
  readonly #known: KnownOutput;
  readonly #budget: Budget;
  readonly #depth: number;
  readonly #nested: { kind: "substitution" | "process"; script: Script }[] = [];
  /** Announced on this line; their bodies follow it. */
  readonly #hereDocs: { readonly mark: string; readonly body: { text: string } }[] = [];
  #at: number;
  #problem: string | undefined;
  /** The command just read closed a `{`, `if`, loop or `case`. */
  #groupEnded = false;
  /** The command begins a loop over words. */
  #loop = false;

  constructor(text: string, variables: ShellVariables, known: KnownOutput, budget: Budget, depth: number, at = 0) {
    this.#text = text;
    this.#variables = variables;
    this.#known = known;
    this.#budget = budget;
    this.#depth = depth;
    this.#at = at;
    if (depth > MAX_DEPTH) this.#fail("command_too_deep");
  }

  get at(): number {
    return this.#at;
  }

  /** Up to the unquoted `close`, or the end when there is none. */
  script(close: ")" | "`" | undefined): Script {
    const pipelines: Command[][] = [];
    let pipeline: Command[] = [];
    const groups: number[] = [];
    const endPipeline = (): void => {
      if (pipeline.length > 0) pipelines.push(pipeline);
      pipeline = [];
    };
    while (this.#problem === undefined) {
      this.#groupEnded = false;
      const command = this.#command(close);
      if (command.words.length + command.redirects.length + command.assignments.length > 0) pipeline.push(command);
      const char = this.#text[this.#at];
      if (char === undefined) {
        if (close !== undefined) this.#fail("unclosed_substitution");
        break;
      }
      this.#at++;
      if (char === "(") {
        groups.push(pipelines.length);
        continue;
      }
      const grouped = char === ")" ? groups.pop() : this.#groupEnded ? 0 : undefined;
      if (char === close && grouped === undefined) break;
      this.#skipBlanks();
      const piped =
        char === "|"
          ? this.#text[this.#at] !== "|"
          : char === ")" && /^\|(?!\|)/.test(this.#text.slice(this.#at, this.#at + 2));
      if (piped && grouped !== undefined) {
        // All a group prints goes into the pipe.
        pipeline = [...pipelines.splice(grouped).flat(), ...pipeline];
      }
      if (char === ")") continue;
      if (piped) {
        if (this.#text[this.#at] === "&") this.#at++;
        continue;
      }
      if ((char === "|" || char === "&" || char === ";") && this.#text[this.#at] === char) this.#at++;
      endPipeline();
      if (char === "\n") this.#skipHereDocs();
    }
    endPipeline();
    return { pipelines, nested: this.#nested, ...(this.#problem !== undefined && { problem: this.#problem }) };
  }

  #fail(problem: string): void {
    this.#problem ??= problem;
    this.#at = this.#text.length;
  }

  #skipBlanks(): void {
    for (;;) {
      const char = this.#text[this.#at];
      if (char !== undefined && BLANK.includes(char)) this.#at++;
      else return;
    }
  }

  #command(close: string | undefined): Command {
    const words: Word[] = [];
    const redirects: Redirect[] = [];
    const assignments: { name: string; value: Word }[] = [];
    for (;;) {
      this.#skipBlanks();
      const char = this.#text[this.#at];
      if (char === undefined || char === "\n" || char === ";" || char === "|" || char === close) break;
      if (char === "#") {
        const end = this.#text.indexOf("\n", this.#at);
        this.#at = end < 0 ? this.#text.length : end;
        continue;
      }
      if (char === "(" || char === ")") {
        // Subshells, case patterns and function bodies: their commands are read like any others.
        break;
      }
      if (char === "&" && this.#text[this.#at + 1] !== ">") break;
      const operator = /^(?:\d{0,3}|\{\w+\})(&>>|&>|<<<|<<-|<<|<>|<&|>>|>\||>&|<(?!\()|>(?!\())/.exec(
        this.#text.slice(this.#at, this.#at + 40),
      );
      if (operator !== null) {
        this.#at += operator[0].length;
        this.#redirect(operator[1] as string, redirects);
        continue;
      }
      const before = this.#at;
      const built = this.#word();
      if (this.#at === before) {
        this.#fail("unreadable");
        break;
      }
      this.#take(built, words, assignments);
    }
    this.#bind(words);
    return { words, redirects, assignments };
  }

  /** `read x` makes x unknown; a loop over one word gives it that word. */
  #bind(words: readonly Word[]): void {
    const [first, second, ...values] = words;
    if (this.#loop && first !== undefined && second?.text === "in") {
      const only = values.length === 1 ? values[0] : undefined;
      if (only === undefined || only.dynamic || only.glob) this.#variables.unset(first.text);
      else this.#variables.set(first.text, only.text);
    } else if (first?.text === "read" || first?.text === "mapfile" || first?.text === "readarray") {
      for (const { text } of words.slice(1)) if (/^[A-Za-z_]\w*$/.test(text)) this.#variables.unset(text);
    }
    this.#loop = false;
  }

  #take(built: Building, words: Word[], assignments: { name: string; value: Word }[]): void {
    const assignment = words.length === 0 && !built.quoted ? /^([A-Za-z_]\w*)\+?=/.exec(built.text) : null;
    if (assignment !== null || (words.length === 0 && /^[A-Za-z_]\w*=/.test(built.text) && !built.marks[0])) {
      const equals = built.text.indexOf("=");
      const name = built.text.slice(0, equals).replace(/\+$/, "");
      const value = { text: built.text.slice(equals + 1), dynamic: built.dynamic, glob: false };
      assignments.push({ name, value });
      this.#assign(name, built, built.text.slice(equals - 1, equals) === "+");
      return;
    }
    const declared = DECLARES.has(words[0]?.text ?? "") ? /^([A-Za-z_]\w*)=/.exec(built.text) : null;
    if (declared !== null) this.#assign(declared[1] as string, built, false);
    for (const part of splitFields(built)) {
      if (words.length === 0 && !part.quoted && RESERVED.has(part.text)) {
        this.#loop ||= part.text === "for" || part.text === "select";
        this.#groupEnded ||= ["}", "fi", "done", "esac"].includes(part.text);
        continue;
      }
      for (const word of expandBraces(part)) {
        if (++this.#budget.words > MAX_WORDS) {
          this.#fail("too_many_words");
          return;
        }
        words.push({ text: word.text, dynamic: word.dynamic, glob: hasGlob(word) });
      }
    }
  }

  /** A value that is not known any more must not be taken for the one before. */
  #assign(name: string, built: Building, appends: boolean): void {
    const value = built.text.slice(built.text.indexOf("=") + 1);
    const before = appends ? this.#variables.get(name) : "";
    if (built.dynamic || before === undefined) this.#variables.unset(name);
    else this.#variables.set(name, before + value);
  }

  #redirect(operator: string, redirects: Redirect[]): void {
    this.#skipBlanks();
    const built = this.#word();
    const target = { text: built.text, dynamic: built.dynamic, glob: hasGlob(built) };
    if (operator === "<<" || operator === "<<-") {
      const body = { text: "", dynamic: false, glob: false };
      if (this.#hereDocs.length < MAX_HERE_DOCS) this.#hereDocs.push({ mark: built.text, body });
      else this.#fail("too_many_here_documents");
      redirects.push({ operator, target: body });
      return;
    }
    // `2>&1` and `>&-` name descriptors, not files.
    if ((operator === ">&" || operator === "<&") && /^(?:\d+-?|-)$/.test(built.text)) return;
    redirects.push({ operator, target });
  }

  #skipHereDocs(): void {
    for (const { mark, body } of this.#hereDocs.splice(0)) {
      const lines = this.#text.slice(this.#at).split("\n");
      let used = 0;
      let ended = false;
      let scripts = 0;
      for (const line of lines) {
        used += line.length + 1;
        if (line.replace(/^\t+/, "") === mark) {
          ended = true;
          break;
        }
        body.text += `${line}\n`;
        // Substitutions inside an unquoted here-document run too.
        for (const inner of line.matchAll(/\$\(|`/g)) {
          if (scripts++ === MAX_HERE_SCRIPTS) {
            this.#fail("too_many_here_documents");
            break;
          }
          this.#child(line.slice((inner.index ?? 0) + inner[0].length), inner[0] === "`" ? "`" : ")", "substitution");
        }
      }
      this.#at = Math.min(this.#text.length, this.#at + used);
      if (!ended) this.#at = this.#text.length;
    }
  }

  #word(): Building {
    const built: Building = { text: "", marks: [], dynamic: false, quoted: false };
    while (this.#problem === undefined) {
      const char = this.#text[this.#at];
      if (char === undefined || " \t\n;|&".includes(char)) break;
      if (char === "(" || char === ")") {
        if (char === "(" && !"$<>@?*+!".includes(this.#text[this.#at - 1] ?? " ")) break;
        if (char === ")") break;
      }
      if ((char === "<" || char === ">") && this.#text[this.#at + 1] !== "(") break;
      this.#at++;
      if (char === "\\") this.#literal(built, this.#text[this.#at++] ?? "", true);
      else if (char === "'") this.#singleQuoted(built);
      else if (char === '"') this.#doubleQuoted(built);
      else if (char === "`") {
        if (!this.#backquote(built, false)) break;
      } else if (char === "$") this.#dollar(built, false);
      else if (char === "<" || char === ">") {
        this.#at++;
        this.#child(undefined, ")", "process");
        built.dynamic = true;
      } else if (char === "~" && built.text === "" && !built.quoted) this.#tilde(built);
      else this.#literal(built, char, false);
    }
    return built;
  }

  #literal(built: Building, text: string, quoted: boolean): void {
    built.text += text;
    for (let i = 0; i < text.length; i++) built.marks.push(quoted);
    if (quoted) built.quoted = true;
  }

  #tilde(built: Building): void {
    const next = this.#text[this.#at];
    const home = next === undefined || "/ \t\n;|&<>".includes(next) ? this.#variables.get("HOME") : undefined;
    this.#literal(built, home ?? "~", false);
  }

  #singleQuoted(built: Building): void {
    const end = this.#text.indexOf("'", this.#at);
    if (end < 0) {
      this.#fail("unclosed_quote");
      return;
    }
    this.#literal(built, this.#text.slice(this.#at, end), true);
    built.quoted = true;
    this.#at = end + 1;
  }

  #doubleQuoted(built: Building): void {
    built.quoted = true;
    for (;;) {
      const char = this.#text[this.#at++];
      if (char === undefined) {
        this.#fail("unclosed_quote");
        return;
      }
      if (char === '"') return;
      if (char === "\\") {
        const next = this.#text[this.#at++] ?? "";
        this.#literal(built, '$`"\\\n'.includes(next) ? next : `\\${next}`, true);
      } else if (char === "$") this.#dollar(built, true);
      else if (char === "`") {
        if (!this.#backquote(built, true)) return;
      } else this.#literal(built, char, true);
    }
  }

  /** `$'…'`, `$"…"`, `$(…)`, `$((…))`, `${…}`, `$name`; the dollar is consumed. */
  #dollar(built: Building, quoted: boolean): void {
    const rest = this.#text.slice(this.#at);
    if (!quoted && rest.startsWith("'")) {
      const end = /^'((?:[^'\\]|\\[\s\S])*)'/.exec(rest);
      if (end === null) {
        this.#fail("unclosed_quote");
        return;
      }
      this.#at += end[0].length;
      this.#literal(built, ansiC(end[1] as string), true);
      return;
    }
    if (!quoted && rest.startsWith('"')) {
      this.#at++;
      this.#doubleQuoted(built);
      return;
    }
    if (rest.startsWith("((")) {
      const end = rest.indexOf("))");
      if (end < 0) {
        this.#fail("unclosed_substitution");
        return;
      }
      this.#at += end + 2;
      built.dynamic = true;
      return;
    }
    if (rest.startsWith("(")) {
      this.#at++;
      this.#expand(built, this.#child(undefined, ")", "substitution"), quoted);
      return;
    }
    if (rest.startsWith("{")) {
      const end = rest.indexOf("}");
      if (end < 0) {
        this.#fail("unclosed_parameter");
        return;
      }
      this.#at += end + 1;
      this.#parameter(built, rest.slice(1, end), quoted);
      return;
    }
    const name = /^(?:[A-Za-z_]\w*|[0-9@*#?$!-])/.exec(rest);
    if (name === null) {
      this.#literal(built, "$", quoted);
      return;
    }
    this.#at += name[0].length;
    this.#expand(built, this.#variable(name[0]), quoted);
  }

  #variable(name: string): string | undefined {
    if (name === "IFS") return " ";
    return name === "$" || name === "PPID" ? "1" : this.#variables.get(name);
  }

  #parameter(built: Building, body: string, quoted: boolean): void {
    const parts = /^([A-Za-z_]\w*|[0-9@*#?$!-])(?:(:?[-=+?])([\s\S]*)|(:\d+(?::\d+)?)|([#%/^,][\s\S]*))?$/.exec(body);
    if (parts === null) {
      built.dynamic = true;
      return;
    }
    const value = this.#variable(parts[1] as string);
    if (parts[2] !== undefined) {
      const plus = parts[2].includes("+");
      const word =
        plus || value === undefined || (value === "" && parts[2].startsWith(":")) ? (parts[3] as string) : value;
      if (value === undefined) built.dynamic = true;
      // Text inside the braces may hold substitutions of its own.
      const inner = new Parser(word, this.#variables, this.#known, this.#budget, this.#depth + 1);
      const read = inner.#word();
      this.#nested.push(...inner.#nested);
      built.dynamic ||= read.dynamic;
      this.#literal(built, read.text === "" ? word : read.text, quoted);
      return;
    }
    if (parts[4] !== undefined && value !== undefined) {
      const [, from, count] = parts[4].split(":").map(Number) as [number, number, number | undefined];
      this.#expand(built, value.slice(from, count === undefined ? undefined : from + count), quoted);
      return;
    }
    if (parts[5] !== undefined) built.dynamic = true;
    this.#expand(built, value, quoted);
  }

  #expand(built: Building, value: string | undefined, quoted: boolean): void {
    if (value === undefined) built.dynamic = true;
    else this.#literal(built, value, quoted);
  }

  #backquote(built: Building, quoted: boolean): boolean {
    const end = this.#text.slice(this.#at).search(/(?<!\\)`/);
    if (end < 0) {
      this.#fail("unclosed_substitution");
      return false;
    }
    const body = this.#text.slice(this.#at, this.#at + end).replace(/\\([\\`$])/g, "$1");
    this.#at += end + 1;
    this.#expand(built, this.#child(body, undefined, "substitution"), quoted);
    return true;
  }

  /** Reads a script inside this one: `body` if given, else in place up to `close`. Its output when that is known. */
  #child(body: string | undefined, close: ")" | "`" | undefined, kind: "substitution" | "process"): string | undefined {
    const parser = new Parser(
      body ?? this.#text,
      this.#variables,
      this.#known,
      this.#budget,
      this.#depth + 1,
      body === undefined ? this.#at : 0,
    );
    const script = parser.script(close);
    if (body === undefined) this.#at = parser.at;
    if (script.problem !== undefined && body === undefined) this.#fail(script.problem);
    this.#nested.push({ kind, script });
    return this.#known(script);
  }
}
