/**
 * What a parsed command line would do: files read and written, hosts reached, programs handed to other interpreters, and
 * constructs that are dangerous whatever the policy lists. The shell guard judges what comes out.
 */
import type { Action } from "../action.ts";
import { normalisePath } from "../path-forms.ts";
import * as known from "./commands.ts";
import { type Command, type Pipeline, parseShell, type Script, type Word } from "./parse.ts";
import { operandsOf, pathsIn, programName, staticOutput, unwrap, Variables } from "./program.ts";
import { downloadTarget, reachOf } from "./reach.ts";

/** `deny` findings hold under every policy; `ask` findings cannot be judged and want a person. */
export interface Finding {
  readonly reason: string;
  readonly message: string;
  readonly level: "deny" | "ask";
}

export interface ShellEffect {
  readonly action: Action;
  /** The directory the command runs in, when it is known. */
  readonly cwd?: string;
  /** A bare word that may be a file: only prohibitions apply to it. */
  readonly doubtful: boolean;
  /** Holds unquoted wildcards. */
  readonly glob: boolean;
  /** A search: that it might come across something forbidden is not worth a word. */
  readonly search?: boolean;
}

export interface Analysis {
  readonly effects: readonly ShellEffect[];
  readonly findings: readonly Finding[];
  /** Names of the programs that would run, for the evidence. */
  readonly programs: readonly string[];
}

export interface ShellContext {
  readonly cwd?: string | undefined;
  readonly home?: string | undefined;
}

const MAX_EFFECTS = 2048;
const MAX_NESTING = 8;

export function analyseShell(text: string, context: ShellContext): Analysis {
  const analyst = new Analyst(context);
  analyst.text(text, 0);
  return { effects: analyst.effects, findings: analyst.findings, programs: analyst.programs };
}

class Analyst {
  readonly effects: ShellEffect[] = [];
  readonly findings: Finding[] = [];
  readonly programs: string[] = [];
  readonly #variables: Variables;
  readonly #home: string | undefined;
  #cwd: string | undefined;
  /** Names of files that this line downloads. */
  readonly #fetched = new Set<string>();

  constructor(context: ShellContext) {
    this.#variables = new Variables(context);
    this.#cwd = context.cwd;
    this.#home = context.home;
  }

  text(source: string, depth: number): void {
    if (depth > MAX_NESTING) {
      this.#find("deny", "command_too_deep", "Command nests too many interpreters");
      return;
    }
    if (/:\s{0,8}\(\s{0,8}\)\s{0,8}\{[^}]{0,64}:\s{0,8}\|\s{0,8}:/.test(source))
      this.#find("deny", "fork_bomb", "Command is a fork bomb");
    if (/[\x00-\x08\x0e-\x1f\x7f]/.test(source))
      this.#find("deny", "control_character", "Command holds control characters");
    const script = parseShell(source, this.#variables, staticOutput);
    if (script.problem !== undefined) this.#find("deny", script.problem, `Command cannot be read: ${script.problem}`);
    this.#script(script, depth);
  }

  #script(script: Script, depth: number): void {
    for (const { script: inner } of script.nested) this.#script(inner, depth);
    for (const pipeline of script.pipelines) this.#pipeline(pipeline, script, depth);
  }

  #find(level: Finding["level"], reason: string, message: string): void {
    if (!this.findings.some((finding) => finding.reason === reason)) this.findings.push({ level, reason, message });
  }

  #effect(action: Action, doubtful = false, glob = false, cwd = this.#cwd, search = false): void {
    if (this.effects.length >= MAX_EFFECTS) {
      this.#find("deny", "too_many_effects", "Command touches too many things");
      return;
    }
    if (action.type === "file_write" && known.STARTUP_FILES.test(action.path))
      this.#find("ask", "runs_later", "Command writes what runs later by itself");
    this.effects.push({ action, doubtful, glob, ...(cwd !== undefined && { cwd }), ...(search && { search }) });
  }

  #pipeline(pipeline: Pipeline, script: Script, depth: number): void {
    const unwrapped = pipeline.map((command) => ({ command, words: unwrap(command.words) }));
    const names = unwrapped.map(({ words }) => programName(words[0]));
    for (const [at, { command, words }] of unwrapped.entries()) {
      this.#command(command, [...words, ...this.#fedOperands(pipeline, at)], script, depth, at > 0);
    }
    const last = unwrapped.at(-1);
    const lastName = names.at(-1) ?? "";
    if (last === undefined || pipeline.length < 2) return;
    const before = names.slice(0, -1);
    const readsProgram =
      (known.SHELLS.includes(lastName) ||
        (lastName in known.INTERPRETERS && !["awk", "gawk", "mawk", "sed"].includes(lastName))) &&
      !last.words.slice(1).some((word) => !word.text.startsWith("-") || word.text === "-c" || word.text === "-e");
    if (readsProgram || ["source", "."].includes(lastName)) {
      if (before.some((name) => known.DOWNLOADERS.includes(name))) {
        this.#find("deny", "pipe_to_shell", "Downloaded text is run by an interpreter");
      } else if (before.some((name) => known.DECODERS.includes(name))) {
        this.#find("deny", "decoded_to_shell", "Decoded text is run by an interpreter");
      } else if (known.SHELLS.includes(lastName)) {
        const program = staticOutput({ pipelines: [pipeline.slice(0, -1)], nested: [] });
        if (program === undefined) this.#find("ask", "unknown_program", "Text that cannot be known is run by a shell");
      }
      const program = staticOutput({ pipelines: [pipeline.slice(0, -1)], nested: [] });
      if (program !== undefined && known.SHELLS.includes(lastName)) this.text(program, depth + 1);
    }
    if (known.SENDERS.includes(lastName) && before.some((name) => known.ENCODERS.includes(name))) {
      this.#find("deny", "encode_and_send", "Encoded data is sent away");
    }
  }

  /** Operands that `xargs` and `parallel` take from the pipe or a here-string, when they are known. */
  #fedOperands(pipeline: Pipeline, at: number): readonly Word[] {
    const command = pipeline[at] as Command;
    if (!["xargs", "parallel"].includes(programName(command.words[0]))) return [];
    const here = command.redirects.find((redirect) => redirect.operator === "<<<")?.target.text;
    const fed = here ?? (at === 0 ? undefined : staticOutput({ pipelines: [pipeline.slice(0, at)], nested: [] }));
    const words = unwrap(command.words);
    if (fed === undefined && programName(words[0]) === "rm" && words.some((word) => /^-[a-z]*[rR]/.test(word.text))) {
      this.#find("ask", "unknown_operands", "What is removed comes from another command");
    }
    return (fed ?? "")
      .split(/\s+/)
      .filter((text) => text !== "")
      .slice(0, 256)
      .map((text) => ({ text, dynamic: false, glob: false }));
  }

  #command(command: Command, words: readonly Word[], script: Script, depth: number, piped: boolean): void {
    for (const { target, operator } of command.redirects) this.#redirect(target, operator, words, depth);
    for (const { name, value } of command.assignments) {
      if (/^(?:https?|all|ftp)_proxy$/i.test(name)) this.#host(value.text, value.dynamic);
      if (
        /^(?:LD_PRELOAD|LD_LIBRARY_PATH|LD_AUDIT|BASH_ENV|ENV|PROMPT_COMMAND|GIT_SSH_COMMAND|NODE_OPTIONS|PYTHONSTARTUP)$/.test(
          name,
        )
      ) {
        this.#find("ask", "loader_override", `Command sets ${name}`);
      }
    }
    const head = words[0];
    if (head === undefined) return;
    // `env -S 'cat x'`, `script -c 'cat x'`: a whole line in one word.
    if (/\s/.test(head.text)) this.text(head.text, depth + 1);
    if (head.dynamic) this.#find("ask", "unknown_program", "The program to run comes from a variable or command");
    const name = programName(head);
    this.programs.push(name);
    const args = words.slice(1);
    if (head.text.includes("/")) this.#effect({ type: "file_access", path: head.text }, true, head.glob);
    this.#dangerous(name, args, script, piped);
    this.#interpreters(name, args, depth);
    this.#network(name, args);
    this.#reach(name, args, depth);
    this.#files(name, args);
    this.#downloads(head, name, args, command);
    if (name === "cd" || name === "pushd") this.#changeDirectory(args.find((word) => !word.text.startsWith("-")));
  }

  #reach(name: string, args: readonly Word[], depth: number): void {
    const reach = reachOf(name, args, { cwd: this.#cwd, home: this.#home });
    for (const { action, doubtful, glob, cwd, search } of reach.effects)
      this.#effect(action, doubtful, glob, cwd, search);
    for (const { text, dynamic, port } of reach.hosts) this.#host(text, dynamic, port);
    for (const { level, reason, message } of reach.findings) this.#find(level, reason, message);
    for (const program of reach.programs) this.text(program, depth + 1);
  }

  /** A file that this line fetches and then runs is as bad as a pipe. */
  #downloads(head: Word, name: string, args: readonly Word[], command: Command): void {
    const base = (path: string): string => path.split("/").at(-1) ?? "";
    const isRunner = known.SHELLS.includes(name) || name in known.INTERPRETERS || name === "source" || name === ".";
    const program = isRunner
      ? args.find((word) => !word.text.startsWith("-"))
      : head.text.includes("/")
        ? head
        : undefined;
    if (program !== undefined && this.#fetched.has(base(program.text)))
      this.#find("deny", "pipe_to_shell", "Downloaded text is run by an interpreter");
    if (this.#fetched.size < 64) for (const path of downloadTarget(name, args, command)) this.#fetched.add(base(path));
  }

  #changeDirectory(target: Word | undefined): void {
    if (target === undefined) this.#cwd = this.#home;
    else if (target.dynamic || target.text === "-") this.#cwd = undefined;
    else if (target.text.startsWith("/")) this.#cwd = target.text;
    else if (target.text.startsWith("~")) this.#cwd = `${this.#home ?? "~"}${target.text.slice(1)}`;
    else if (this.#cwd !== undefined) this.#cwd = `${this.#cwd}/${target.text}`;
    if (this.#cwd !== undefined) this.#variables.set("PWD", this.#cwd);
  }

  #redirect(target: Word, operator: string, words: readonly Word[], depth: number): void {
    const path = target.text;
    if (operator.startsWith("<<")) {
      const name = programName(words[0]);
      if (known.SHELLS.includes(name)) {
        if (target.dynamic) this.#find("ask", "unknown_program", "Text that cannot be known is run by a shell");
        this.text(path, depth + 1);
      } else if (Object.hasOwn(known.INTERPRETERS, name)) this.#programText(path);
      return;
    }
    const socket = /^\/dev\/(?:tcp|udp)\/([^/]+)\/(\d+)/.exec(path);
    if (socket !== null) {
      this.#find("deny", "raw_socket", "Command opens a raw network socket");
      this.#effect({ type: "egress", target: socket[1] as string, port: Number(socket[2]) % 65_536 });
      return;
    }
    if (known.HARMLESS_DEVICES.test(path) || path === "") return;
    const writes = operator.includes(">");
    if (writes && known.BLOCK_DEVICE.test(path)) this.#find("deny", "disk_overwrite", "Command overwrites a disk");
    if (target.dynamic && path.length < 2) return;
    this.#effect(writes ? { type: "file_write", path } : { type: "file_access", path }, false, target.glob);
  }

  #dangerous(name: string, args: readonly Word[], script: Script, piped: boolean): void {
    const options = args.filter((word) => word.text.startsWith("-")).map((word) => word.text);
    const operands = args.filter((word) => !word.text.startsWith("-"));
    const short = (letter: string): boolean =>
      options.some((option) => /^-[A-Za-z]+$/.test(option) && option.includes(letter));
    const recursive = short("r") || short("R") || options.includes("--recursive");
    const clean = (word: Word): string => (word.text === "" ? "" : normalisePath(word.text));
    const home = this.#home ?? "~";
    const isSystem = (path: string): boolean => known.SYSTEM_TREES.test(path) || path === home || path === `${home}/*`;
    const system = operands.find((word) => isSystem(clean(word)) || (word.dynamic && /^\/?\*?$/.test(word.text)));
    if (name === "rm" && recursive && system !== undefined)
      this.#find("deny", "destructive_remove", "Command removes a system tree");
    if (name === "find" && args.some((word) => word.text === "-delete") && system !== undefined) {
      this.#find("deny", "destructive_remove", "Command removes a system tree");
    }
    if (["chmod", "chown", "chgrp"].includes(name)) {
      const open = operands.some((word) => /^(?:0?777|[augo]*\+?=?rwx|a\+w|o\+w|\+w)$/.test(word.text));
      if (system !== undefined && (open || recursive))
        this.#find("deny", "system_permissions", "Command changes permissions of a system tree");
      else if (name === "chmod" && operands.some((word) => /^[0-7]?777$/.test(word.text))) {
        this.#find("ask", "world_writable", "Command makes files writable by everyone");
      }
      if (operands.some((word) => /^[4267][0-7]{3}$|^[ugoa]*\+[rwx]*s/.test(word.text)) && name === "chmod") {
        this.#find("ask", "special_mode", "Command sets the setuid or setgid bit");
      }
    }
    if (
      /^(?:mkfs(?:\..+)?|wipefs|blkdiscard|sgdisk|fdisk|parted)$/.test(name) &&
      operands.some((word) => word.text.startsWith("/dev/"))
    ) {
      this.#find("deny", "disk_overwrite", "Command overwrites a disk");
    }
    if (["dd", "shred", "cp", "tee", "cat"].includes(name)) {
      const outputs = operands
        .map((word) => word.text.replace(/^of=/, ""))
        .filter((path) => known.BLOCK_DEVICE.test(path));
      const reads = name === "dd" && operands.every((word) => !word.text.startsWith("of=/dev/"));
      if (outputs.length > 0 && !reads && name !== "cat")
        this.#find("deny", "disk_overwrite", "Command overwrites a disk");
    }
    if (
      ["nc", "ncat", "netcat"].includes(name) &&
      options.some((option) => /^-[a-z]*[ec]/.test(option) || /^--(?:exec|sh-exec)/.test(option))
    ) {
      this.#find("deny", "remote_shell", "Command hands a shell to the network");
    }
    if (name === "socat" && args.some((word) => /(?:^|,)?(?:exec|system):/i.test(word.text))) {
      this.#find("deny", "remote_shell", "Command hands a shell to the network");
    }
    if (
      name === "source" ||
      name === "." ||
      name === "eval" ||
      known.SHELLS.includes(name) ||
      name in known.INTERPRETERS
    ) {
      const fetched = (inner: Script): boolean =>
        inner.pipelines.flat().some((command) => known.DOWNLOADERS.includes(programName(unwrap(command.words)[0]))) ||
        inner.nested.some((deeper) => fetched(deeper.script));
      if (args.some((word) => word.dynamic) && script.nested.some((inner) => fetched(inner.script))) {
        this.#find("deny", "pipe_to_shell", "Downloaded text is run by an interpreter");
      } else if (name === "eval" && args.some((word) => word.dynamic)) {
        this.#find("ask", "unknown_program", "Text that cannot be known is run by a shell");
      }
    }
    if (["docker", "podman", "nerdctl"].includes(name)) {
      const mounts = args.some((word) =>
        /^(?:-v|--volume=)?(?:\/|~|\/var\/run\/docker\.sock):|source=\/(?:,|$)/.test(word.text),
      );
      if (mounts || options.includes("--privileged"))
        this.#find("ask", "host_mount", "Container gets hold of the host");
    }
    if (["insmod", "modprobe", "kexec", "reboot", "shutdown", "halt", "poweroff", "init"].includes(name) && !piped) {
      this.#find("ask", "host_control", "Command controls the host itself");
    }
  }

  /** Programs inside programs: `sh -c`, `eval`, `python -c`, `find -exec`, `ssh host command`. */
  #interpreters(name: string, args: readonly Word[], depth: number): void {
    if (known.SHELLS.includes(name)) {
      const at = args.findIndex((word) => /^-[a-z]*c[a-z]*$/.test(word.text));
      const program = at < 0 ? undefined : args[at + 1];
      if (program !== undefined) {
        if (program.dynamic) this.#find("ask", "unknown_program", "Text that cannot be known is run by a shell");
        this.text(program.text, depth + 1);
      }
    } else if (name === "eval") {
      if (args.length > 0) this.text(args.map((word) => word.text).join(" "), depth + 1);
    } else if (name === "alias") {
      for (const word of args) this.text(word.text.slice(word.text.indexOf("=") + 1), depth + 1);
    } else if (name === "trap" && args[0] !== undefined) {
      this.text(args[0].text, depth + 1);
    } else if (name === "su" || name === "runuser" || name === "script" || name === "flock") {
      const at = args.findIndex((word) => /^(?:-[a-z]*c|--command)$/.test(word.text));
      const program = at < 0 ? undefined : args[at + 1];
      if (program !== undefined) this.text(program.text, depth + 1);
    } else if (name === "find" || name === "fd") {
      for (let at = 0; at < args.length; at++) {
        if (!["-exec", "-execdir", "-ok", "-okdir", "-x"].includes((args[at] as Word).text)) continue;
        const end = args.findIndex((word, i) => i > at && (word.text === ";" || word.text === "+"));
        // What is found lies below where the search starts.
        const found = args.find((word) => !word.text.startsWith("-"));
        const inner = unwrap(args.slice(at + 1, end < 0 ? undefined : end)).map((word) =>
          word.text === "{}" && found !== undefined ? found : word,
        );
        const command: Command = { words: inner, redirects: [], assignments: [] };
        this.#command(command, inner, { pipelines: [], nested: [] }, depth + 1, true);
      }
    }
    const flags = Object.hasOwn(known.INTERPRETERS, name) ? known.INTERPRETERS[name] : undefined;
    if (flags === undefined) return;
    for (const [at, word] of args.entries()) {
      const program = flags.includes(word.text)
        ? args[at + 1]
        : flags.length === 0 && !word.text.startsWith("-")
          ? word
          : undefined;
      if (program !== undefined) this.#programText(program.text);
    }
  }

  /** Quoted and absolute paths, hosts and shell calls inside a program of another language. */
  #programText(source: string): void {
    if (/\bsocket\b/i.test(source) && /\b(?:dup2|pty\.spawn|\/bin\/(?:ba|z|da)?sh|cmd\.exe)\b/.test(source)) {
      this.#find("deny", "remote_shell", "Command hands a shell to the network");
    }
    if (
      /\b(?:rmtree|rmSync|rmdirSync|rm_rf|rm_r|removeSync|unlink\w*)\b[^\n]{0,40}["'](?:\/|~)(?:\*|\w+\/\*)?["']/.test(
        source,
      )
    ) {
      this.#find("deny", "destructive_remove", "Command removes a system tree");
    }
    for (const match of source.matchAll(
      /\b(?:connect\w*|fsockopen|TCPSocket\.\w+|create_connection|Socket)\s*\(+\s*["'`]([^"'`]{1,253})["'`]\s*,\s*(\d{1,5})/g,
    )) {
      this.#effect({ type: "egress", target: match[1] as string, port: Number(match[2]) % 65_536 });
    }
    for (const match of source.matchAll(/["'`]([^"'`\n]{2,512})["'`]/g)) {
      const text = match[1] as string;
      if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) this.#effect({ type: "egress", target: text });
      else if (/[/~.]/.test(text) && !/\s/.test(text)) this.#effect({ type: "file_access", path: text }, true);
    }
    this.#embeddedPaths(source);
    const call =
      /\b(?:os\.system|os\.popen|subprocess\.\w+|system|exec|execSync|spawnSync?|popen|shell_exec|passthru)\s*\(\s*["'`]([^"'`]{1,4096})["'`]/g;
    for (const match of source.matchAll(call)) this.text(match[1] as string, MAX_NESTING);
  }

  #embeddedPaths(text: string): void {
    for (const match of text.matchAll(/(?:^|[^\w/.~-])((?:\/|~\/)[\w.@/+-]{2,512})/g)) {
      this.#effect({ type: "file_access", path: match[1] as string }, true);
    }
  }

  #network(name: string, args: readonly Word[]): void {
    const web = Object.hasOwn(known.WEB_CLIENTS, name) ? known.WEB_CLIENTS[name] : undefined;
    const first = Object.hasOwn(known.HOST_FIRST, name) ? known.HOST_FIRST[name] : undefined;
    if (web !== undefined) {
      for (const word of operandsOf(args, [...web, ...known.PROXY_OPTIONS])) this.#host(word.text, word.dynamic);
      args.forEach((word, at) => {
        const [option, value] = word.text.split(/=(.*)/s, 2) as [string, string | undefined];
        if (known.PROXY_OPTIONS.includes(option)) this.#host(value ?? args[at + 1]?.text ?? "", false);
        const glued = /^-x(.+)$/.exec(word.text);
        if (name === "curl" && glued !== null) this.#host(glued[1] as string, false);
      });
      return;
    }
    if (first !== undefined) {
      const operands = operandsOf(args, first).filter((word) => !/^[@+]/.test(word.text));
      const host = operands[0];
      // A listener names no host.
      if (
        host !== undefined &&
        !(/^n(?:et)?c(?:at)?$/.test(name) && args.some((word) => /^-[a-z]*l/.test(word.text)))
      ) {
        const port = operands[1]?.text;
        this.#host(host.text, host.dynamic, port !== undefined && /^\d{1,5}$/.test(port) ? Number(port) : undefined);
      }
      return;
    }
    if (known.REMOTE_COPY.includes(name)) {
      for (const word of operandsOf(args, ["-e", "-i", "-P", "-o", "-F", "-l", "-c", "-S"])) {
        const remote = /^(?:[^@/\s]+@)?([^:/\s]+):(?!\/\/)/.exec(word.text);
        if (remote !== null) this.#host(remote[1] as string, word.dynamic, 22);
        else if (/^[a-z]+:\/\//i.test(word.text)) this.#host(word.text, word.dynamic);
      }
      return;
    }
    args.forEach((word, at) => {
      const [option, value] = word.text.split(/=(.*)/s, 2) as [string, string | undefined];
      if (known.HOST_OPTIONS.includes(option)) this.#host(value ?? args[at + 1]?.text ?? "", word.dynamic);
    });
    if (["docker", "podman"].includes(name) && args[0]?.text === "login") {
      const registry = operandsOf(args.slice(1), ["-u", "-p", "--username", "--password"]).at(-1);
      if (registry !== undefined) this.#host(registry.text, registry.dynamic);
    }
    if (name === "git") return;
    if (name === "socat" || name === "openssl") {
      for (const word of args) {
        const host =
          /^(?:tcp|udp|openssl|ssl|tcp4|tcp6|sctp)[^:]*:([^:,]+):(\d+)/i.exec(word.text) ??
          (name === "openssl" ? /^([\w.-]+):(\d+)$/.exec(word.text) : null);
        if (host !== null && !/listen/i.test(word.text))
          this.#host(host[1] as string, word.dynamic, Number(host[2]) % 65_536);
      }
      return;
    }
    if (known.TEXT_ONLY.includes(name) || known.PATTERN_FIRST.includes(name)) return;
    for (const word of args) {
      if (/^(?:--?[\w-]+=)?[a-z][a-z0-9+.-]*:\/\//i.test(word.text) && !/^(?:--?[\w-]+=)?file:/i.test(word.text)) {
        this.#host(word.text.replace(/^--?[\w-]+=/, ""), word.dynamic);
      }
    }
  }

  #host(text: string, dynamic: boolean, port?: number): void {
    if (text === "" || text.startsWith("-")) return;
    if (/^file:/i.test(text)) {
      this.#effect({ type: "file_access", path: text });
      return;
    }
    if (dynamic && !/^[a-z][a-z0-9+.-]*:\/\/[^/]+\//i.test(text)) {
      this.#find("ask", "unknown_host", "The host to reach comes from a variable or command");
      if (!/[a-z0-9]/i.test(text)) return;
    }
    this.#effect({ type: "egress", target: text, ...(port !== undefined && { port }) });
  }

  #files(name: string, args: readonly Word[]): void {
    if (known.TEXT_ONLY.includes(name)) return;
    let skipFirst =
      known.PATTERN_FIRST.includes(name) &&
      !args.some((word) => /^-[a-z]*[ef]$|^--(?:regexp|file|expression)/.test(word.text));
    const copier = known.COPIERS.includes(name);
    const message = name === "git" || name === "hg" || name === "gh";
    const lastOperand = args.findLastIndex((word) => !word.text.startsWith("-"));
    args.forEach((word, at) => {
      if (message && /^(?:-[a-z]*m|--message|--title|--body)$/.test(args[at - 1]?.text ?? "")) return;
      if (skipFirst && !word.text.startsWith("-")) {
        skipFirst = false;
        return;
      }
      if (/\s/.test(word.text)) this.#embeddedPaths(word.text);
      for (const path of pathsIn(word.text)) {
        if (known.HARMLESS_DEVICES.test(path)) continue;
        const writes = known.WRITERS.includes(name) || (copier && at === lastOperand) || /^of=/.test(word.text);
        const looksLikePath = /^(?:[/~]|\.{1,2}(?:\/|$))|\//.test(path) && !/^[a-z][a-z0-9+.-]*:\/\//i.test(path);
        this.#effect({ type: writes ? "file_write" : "file_access", path }, !looksLikePath, word.glob);
      }
    });
  }
}
