/**
 * Every form in which a path may name a file: lexical, joined to the agent's cwd, resolved through symlinks, decoded,
 * folded (spec/guards.md sections 2.1 and 8 E). Denials match any form, permissions only the one the kernel would open.
 */
import type { Dialect } from "./dialect.ts";
import { stripInvisible } from "./text/canonical.ts";

/** Reads one symbolic link: its target as written, or undefined when `path` is none or does not exist. Throws when unknown. */
export type LinkReader = (path: string) => string | undefined;

export interface PathContext {
  /** The agent's working directory, absolute. */
  readonly cwd?: string | undefined;
  readonly home?: string | undefined;
  readonly readLink?: LinkReader | undefined;
}

export interface PathForms {
  /** What the kernel would open; permissions and exceptions match this one. */
  readonly resolved: string;
  /** All forms, `resolved` among them; prohibitions match any. */
  readonly all: readonly string[];
  /** Why no form is trustworthy: the path is then refused. */
  readonly problem?: string;
}

/** Longer paths than any kernel takes. */
const MAX_PATH_CHARS = 4096;
const MAX_LINKS = 40;
/** No compatibility form and nothing invisible. */
const PRINTABLE = /^[\x20-\x7e]*$/;

/** Lexical: `\` to `/`, no empty or `.` segments, `..` resolved; no trailing slash; "" becomes "." (section 2.1). */
export function normalisePath(path: string): string {
  const slashed = path.replaceAll("\\", "/");
  const absolute = slashed.startsWith("/");
  const kept: string[] = [];
  for (const segment of slashed.split("/")) {
    if (segment === "" || segment === ".") continue;
    if (segment !== "..") kept.push(segment);
    else if (kept.length > 0 && kept.at(-1) !== "..") kept.pop();
    else if (!absolute) kept.push("..");
  }
  const joined = kept.join("/");
  if (absolute) return `/${joined}`;
  return joined === "" ? "." : joined;
}

export function pathForms(path: string, context: PathContext, dialect: Dialect): PathForms {
  if (dialect === "sdr-execution") {
    const lexical = normalisePath(path);
    return { resolved: lexical, all: [lexical] };
  }
  if (path.length > MAX_PATH_CHARS) return refuse(path.slice(0, 64), "path_too_long");
  if (/[\x00-\x1f\x7f]/.test(path)) return refuse(path, "control_character");
  const plain = fromUrl(path);
  const home = plain === "~" || plain.startsWith("~/") ? expandHome(plain, context.home) : plain;
  const joined = joinCwd(home, context.cwd);
  const lexical = normalisePath(joined);
  let resolved = lexical;
  if (context.readLink !== undefined && joined.startsWith("/")) {
    try {
      resolved = resolveLinks(joined, context.readLink);
    } catch {
      return { ...refuse(lexical, "unresolvable_path"), all: denyForms([lexical, normalisePath(plain)]) };
    }
  }
  return { resolved, all: denyForms([resolved, lexical, normalisePath(plain), normalisePath(path)]) };
}

function refuse(path: string, problem: string): PathForms {
  return { resolved: path, all: [path], problem };
}

/** Adds what lenient file systems and decoders would read; every form also as a directory. */
function denyForms(paths: readonly string[]): readonly string[] {
  const forms = new Set<string>();
  for (const path of paths) {
    forms.add(path);
    if (path.includes("%")) forms.add(normalisePath(percentDecode(path)));
    const visible = PRINTABLE.test(path) ? path : normalisePath(stripInvisible(path.normalize("NFKC")));
    forms.add(visible);
    // Some file systems drop trailing dots and blanks and take `name:stream` for `name`.
    forms.add(
      visible.replace(/[. ]+(?=\/|$)/g, (tail, at: number) => (at === 0 || visible[at - 1] === "/" ? tail : "")),
    );
    if (/::?\$?[A-Za-z]+$/.test(visible)) forms.add(visible.replace(/::?\$?[A-Za-z]+$/, ""));
  }
  for (const form of [...forms]) forms.add(form.toLowerCase());
  for (const form of [...forms]) forms.add(form.endsWith("/") ? form : `${form}/`);
  return [...forms];
}

function fromUrl(path: string): string {
  if (!/^file:/i.test(path)) return path;
  const rest = path.slice(5);
  const local = /^\/\/(?:localhost)?(?=\/)/i.exec(rest);
  return percentDecode(local === null ? rest : rest.slice(local[0].length));
}

function percentDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text.replace(/%([0-7][0-9a-fA-F])/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  }
}

function expandHome(path: string, home: string | undefined): string {
  return home === undefined ? path : `${home}${path.slice(1)}`;
}

/** A relative path without a known cwd stays relative. A drive letter counts as absolute. */
function joinCwd(path: string, cwd: string | undefined): string {
  if (cwd === undefined || path.startsWith("/") || path.startsWith("~") || /^[A-Za-z]:/.test(path)) return path;
  return path === "" ? cwd : `${cwd}/${path}`;
}

/**
 * Walks the path as the kernel does: each segment's link is followed before `..` is applied; missing components stay as
 * written, however many there are. Throws on a loop.
 */
function resolveLinks(path: string, readLink: LinkReader): string {
  const pending = path.replaceAll("\\", "/").split("/").reverse();
  const done: string[] = [];
  let links = 0;
  while (pending.length > 0) {
    const segment = pending.pop() as string;
    if (segment === "" || segment === ".") continue;
    if (segment === "..") {
      done.pop();
      continue;
    }
    const here = `/${[...done, segment].join("/")}`;
    const target = readLink(here);
    if (target === undefined) {
      done.push(segment);
      continue;
    }
    if (++links > MAX_LINKS) throw new Error(`more than ${MAX_LINKS} links`);
    if (target.startsWith("/")) done.length = 0;
    pending.push(...target.split("/").reverse());
  }
  return `/${done.join("/")}`;
}
