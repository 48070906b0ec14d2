/**
 * What single programs reach in ways of their own: git's settings and remotes, directories given by an option, names that
 * `find` looks for, container mounts, programs that print credentials, files that a download leaves. `analyse.ts` asks.
 */
import type { Action } from "../action.ts";
import type { Finding } from "./analyse.ts";
import * as known from "./commands.ts";
import type { Command, Word } from "./parse.ts";
import { operandsOf } from "./program.ts";

export interface Reach {
  readonly effects: {
    readonly action: Action;
    readonly doubtful: boolean;
    readonly glob: boolean;
    readonly cwd?: string;
    readonly search?: boolean;
  }[];
  readonly hosts: { readonly text: string; readonly dynamic: boolean; readonly port?: number }[];
  /** Programs of the shell inside arguments. */
  readonly programs: string[];
  readonly findings: Finding[];
}

export interface ReachContext {
  readonly cwd: string | undefined;
  readonly home: string | undefined;
}

/** The value of a git setting is run by a shell. */
const GIT_PROGRAMS =
  /^(?:core\.(?:sshcommand|pager|editor|fsmonitor|askpass|hookspath|gitproxy)|alias\..*|credential(?:\..*)?\.helper|diff\..*\.(?:command|textconv)|diff\.external|filter\..*\.(?:clean|smudge|process)|merge\..*\.driver|sequence\.editor|gpg(?:\..*)?\.program|pager\..*|uploadpack\.packobjectshook)$/i;
const GIT_HOSTS = /^(?:https?(?:\..*)?\.proxy|remote\..*\.(?:url|pushurl|proxy)|url\..*\.insteadof|core\.gitproxy)$/i;
/** What settings of pagers, editors and helpers ordinarily hold. */
const HARMLESS_PROGRAM =
  /^(?:(?:cat|less|more|most|bat|delta|diff-so-fancy|true|false|:|vim?|nvim|nano|emacs|code|subl|store|cache|osxkeychain|manager(?:-core)?|libsecret|gpg2?|ssh)?(?: -{1,2}[\w=-]+)*)$/;
/** Print credentials of the one who runs them. */
const CREDENTIAL_PRINTERS =
  /^(?:gh auth (?:token|status .*(?:-t|--show-token))|gcloud auth (?:application-default )?print-(?:access|identity)-token|az account get-access-token|aws (?:configure (?:export-credentials|get)|sts (?:get-session-token|assume-role)|secretsmanager get-secret-value|ssm get-parameters?.* --with-decryption)|kubectl (?:get|describe) secrets?\b|vault (?:kv get|read|token lookup|print token)|op (?:read|item get|run)|pass (?:show )?[\w/-]+|security (?:find-generic-password|find-internet-password|dump-keychain)|secret-tool (?:lookup|search)|docker-credential-\S+ get|git credential fill|npm token list|heroku auth:token|doctl auth .*token|gpg .*--export-secret|keyctl (?:print|read)|pulumi config .*--show-secrets|terraform output .*-json|sops (?:-d|--decrypt|decrypt)|age (?:-d|--decrypt)|chamber (?:read|export)|bw get)/;

export function reachOf(name: string, args: readonly Word[], context: ReachContext): Reach {
  const reach: Reach = { effects: [], hosts: [], programs: [], findings: [] };
  if (name === "git") git(args, reach);
  if (name === "find") find(args, reach);
  if (name === "sftp") sftp(args, reach);
  if (["tar", "bsdtar", "env", "git", "make", "ninja", "cmake"].includes(name)) elsewhere(name, args, context, reach);
  if (["docker", "podman", "nerdctl"].includes(name)) mounts(args, reach);
  const schedules =
    (name === "crontab" && !args.some((word) => /^-[lru]$/.test(word.text))) ||
    name === "at" ||
    name === "batch" ||
    (name === "launchctl" && /^(?:load|bootstrap|submit)$/.test(args[0]?.text ?? ""));
  if (schedules)
    reach.findings.push({ level: "ask", reason: "runs_later", message: "Command has something run later by itself" });
  const line = [name, ...args.map((word) => word.text)].join(" ").slice(0, 2048);
  if (CREDENTIAL_PRINTERS.test(line))
    reach.findings.push({ level: "ask", reason: "prints_credentials", message: "Command prints credentials" });
  return reach;
}

const GIT_VALUES = [
  "-C",
  "-c",
  "--git-dir",
  "--work-tree",
  "-b",
  "--branch",
  "--depth",
  "-o",
  "--origin",
  "-m",
  "--message",
];

function git(args: readonly Word[], reach: Reach): void {
  const operands = operandsOf(args, GIT_VALUES);
  const verb = operands[0]?.text ?? "";
  const settings = args.flatMap((word, at) => {
    if (word.text === "-c") return [args[at + 1]?.text ?? ""];
    return word.text.startsWith("--config=") ? [word.text.slice(9)] : [];
  });
  const [key, value] = verb === "config" ? operands.slice(1).map((word) => word.text) : [];
  if (key !== undefined && value !== undefined) settings.push(`${key}=${value}`);
  for (const setting of settings) {
    const at = setting.indexOf("=");
    if (at < 0) continue;
    const [named, held] = [setting.slice(0, at), setting.slice(at + 1)];
    if (GIT_HOSTS.test(named) && held !== "") reach.hosts.push({ text: held, dynamic: false });
    else if (
      GIT_PROGRAMS.test(named) &&
      !HARMLESS_PROGRAM.test(held) &&
      !(/^alias\./i.test(named) && held[0] !== "!")
    ) {
      reach.programs.push(held.replace(/^!/, ""));
      reach.findings.push({
        level: "ask",
        reason: "git_runs_program",
        message: `Git is told to run a program (${named})`,
      });
    }
  }
  const nested = ["remote", "submodule"].includes(verb) && ["add", "set-url"].includes(operands[1]?.text ?? "");
  if (verb === "show" || verb === "cat-file") {
    for (const word of operands.slice(1)) {
      const at = word.text.indexOf(":");
      if (at >= 0)
        reach.effects.push({
          action: { type: "file_access", path: word.text.slice(at + 1) },
          doubtful: true,
          glob: false,
        });
    }
  }
  if (!known.GIT_REMOTE.includes(verb) && !nested && verb !== "config") return;
  for (const word of operands.slice(1)) {
    const remote = /^(?:[^@/\s]+@)([^:/\s]+):(?!\/\/)/.exec(word.text);
    if (remote !== null) reach.hosts.push({ text: remote[1] as string, dynamic: word.dynamic, port: 22 });
    else if (/^[a-z][a-z0-9+.-]*:\/\//i.test(word.text) && !/^file:/i.test(word.text))
      reach.hosts.push({ text: word.text, dynamic: word.dynamic });
  }
}

/** What is looked for below where the search begins, when something is done with it. */
function find(args: readonly Word[], reach: Reach): void {
  const start = args.findIndex((word) => /^[-!(]/.test(word.text));
  const roots = args.slice(0, start < 0 ? undefined : start).map((word) => word.text);
  args.forEach((word, at) => {
    const wanted = args[at + 1]?.text;
    if (!/^-i?(?:name|path|wholename)$/.test(word.text) || wanted === undefined) return;
    for (const root of roots.length > 0 ? roots : ["."]) {
      const base = root.replace(/\/+$/, "");
      const below = wanted.startsWith("/") ? [wanted] : [`${base}/${wanted}`, `${base}/*/${wanted}`];
      for (const path of below)
        reach.effects.push({
          action: { type: "file_access", path },
          doubtful: true,
          glob: /[*?[]/.test(path),
          search: true,
        });
    }
  });
}

function sftp(args: readonly Word[], reach: Reach): void {
  const host = operandsOf(args, ["-b", "-c", "-D", "-F", "-i", "-J", "-l", "-o", "-P", "-R", "-S", "-s"])[0];
  const name = host === undefined ? undefined : /^(?:[^@/\s]+@)?([^:/\s]+)/.exec(host.text)?.[1];
  if (host !== undefined && name !== undefined && !/^[a-z]+:\/\//i.test(host.text))
    reach.hosts.push({ text: name, dynamic: host.dynamic, port: 22 });
}

/** `-C DIR`: what follows lies there. */
function elsewhere(name: string, args: readonly Word[], context: ReachContext, reach: Reach): void {
  let cwd: string | undefined;
  for (const [at, word] of args.entries()) {
    const given = /^(?:--directory|--chdir)=(.+)$/.exec(word.text)?.[1];
    const next = ["-C", "--directory", "--chdir"].includes(word.text) ? args[at + 1]?.text : given;
    if (next !== undefined) {
      cwd = absolute(next, context);
      continue;
    }
    if (cwd === undefined || word.text.startsWith("-") || args[at - 1]?.text === "-C") continue;
    if (name === "make" || name === "ninja" || name === "cmake") continue;
    reach.effects.push({ action: { type: "file_access", path: word.text }, doubtful: true, glob: word.glob, cwd });
  }
}

function absolute(path: string, { cwd, home }: ReachContext): string | undefined {
  if (path.startsWith("/")) return path;
  if (path === "~" || path.startsWith("~/")) return home === undefined ? undefined : `${home}${path.slice(1)}`;
  return cwd === undefined ? undefined : `${cwd}/${path}`;
}

/** Files of the host that a container is given. */
function mounts(args: readonly Word[], reach: Reach): void {
  args.forEach((word, at) => {
    const volume =
      /^(?:-v|--volume=)(.+)$/.exec(word.text)?.[1] ??
      (["-v", "--volume"].includes(args[at - 1]?.text ?? "") ? word.text : undefined);
    const source = volume?.split(":")[0] ?? /(?:^|,)(?:source|src)=([^,]+)/.exec(word.text)?.[1];
    if (source === undefined || !/^[/~.]/.test(source)) return;
    reach.effects.push({ action: { type: "file_access", path: source }, doubtful: true, glob: false });
    if (/^(?:\/(?:etc|root|home|proc|sys|dev|var|boot|run)?|~|\/home\/[^/]+)\/?$/.test(source))
      reach.findings.push({ level: "ask", reason: "host_mount", message: "Container gets hold of the host" });
  });
}

/** The file a download is written to, when the command says. */
export function downloadTarget(name: string, args: readonly Word[], command: Command): readonly string[] {
  if (!known.DOWNLOADERS.includes(name)) return [];
  const named = args.flatMap((word, at) => {
    if (["-o", "-O", "--output", "--output-document"].includes(word.text)) return [args[at + 1]?.text ?? ""];
    const glued = /^(?:-[oO]|--output(?:-document)?=)(.+)$/.exec(word.text)?.[1];
    return glued === undefined ? [] : [glued];
  });
  const redirected = command.redirects
    .filter(({ operator }) => operator.includes(">"))
    .map(({ target }) => target.text);
  // `curl -O URL` and plain `wget URL` keep the last part of the address.
  const kept = args.flatMap(({ text }) => /^[a-z]+:\/\/[^/]+\/(?:[^?#]*\/)?([^/?#]+)/i.exec(text)?.[1] ?? []);
  return [...named, ...redirected, ...kept].filter((path) => path !== "" && path !== "-");
}
