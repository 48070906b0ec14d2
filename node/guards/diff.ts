/**
 * Reads a patch: unified diffs (git or plain) and the `*** Begin Patch` envelope. Inside a hunk lines are counted by the
 * hunk's own lengths, so content that looks like a header is still content. The patch and secret guards use it.
 */

export interface PatchedFile {
  /** As named in the diff, without `a/` and `b/`; every path the patch reads, writes, creates or removes. */
  readonly paths: ReadonlySet<string>;
  /** Octal digits such as 100755 or 120000 (a symlink). */
  readonly newMode?: string;
  readonly binary: boolean;
  /** The patch creates it. */
  readonly created: boolean;
  /** Lines added to it. */
  readonly additions: number;
}

export interface Diff {
  readonly files: readonly PatchedFile[];
  /** Without the leading sign. */
  readonly added: readonly string[];
  readonly removed: number;
  /** False when a text that is not empty holds nothing a patch is made of. */
  readonly recognised: boolean;
}

interface OpenFile {
  paths: Set<string>;
  newMode?: string;
  binary: boolean;
  created: boolean;
  additions: number;
}

export function parseDiff(text: string): Diff {
  const lines = text.split(/\r\n|\n|\r/);
  const files: OpenFile[] = [];
  const added: string[] = [];
  let removed = 0;
  // Context lines alone change nothing.
  let recognised = lines.every((line) => line === "" || line.startsWith(" "));
  let left = { old: 0, new: 0 };
  let file = undefined as OpenFile | undefined;
  const open = (): OpenFile => {
    file = { paths: new Set(), binary: false, created: false, additions: 0 };
    files.push(file);
    return file;
  };
  const add = (line: string): void => {
    added.push(line.slice(1));
    if (file !== undefined) file.additions++;
  };
  const name = (path: string | undefined): void => {
    if (path !== undefined && path !== "" && path !== "/dev/null") (file ?? open()).paths.add(path);
  };
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] as string;
    const sign = line[0];
    if (left.old > 0 || left.new > 0) {
      if (sign === "+") {
        add(line);
        left.new--;
      } else if (sign === "-") {
        removed++;
        left.old--;
      } else if (sign !== "\\") left = { old: left.old - 1, new: left.new - 1 };
      continue;
    }
    const hunk = /^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@/.exec(line);
    if (hunk !== null) {
      left = { old: Number(hunk[1] ?? 1), new: Number(hunk[2] ?? 1) };
      recognised = true;
    } else if (line.startsWith("diff --git ")) {
      open();
      recognised = true;
      for (const path of gitPaths(line.slice(11))) name(path);
    } else if (line.startsWith("--- ") && isHeaderPair(line, lines[at + 1])) {
      // A plain diff has no `diff` line, so the header pair opens the next file.
      if (
        file === undefined ||
        !lines.slice(Math.max(0, at - 8), at).some((before) => before.startsWith("diff --git "))
      )
        open();
      if (headerPath(line.slice(4)) === "/dev/null") (file ?? open()).created = true;
      name(headerPath(line.slice(4)));
      name(headerPath((lines[++at] as string).slice(4)));
      recognised = true;
    } else if (/^(?:rename|copy) (?:from|to) /.test(line)) {
      name(unquote(line.replace(/^\w+ \w+ /, "")));
      recognised = true;
    } else if (line.startsWith("*** ") && lines[at + 1]?.startsWith("--- ") === true && !line.endsWith(" ****")) {
      // A context diff: the same two names in other words.
      open();
      name(headerPath(line.slice(4)));
      name(headerPath((lines[++at] as string).slice(4)));
      recognised = true;
    } else if (/^Index: \S/.test(line)) {
      open();
      name(stripPrefix(line.slice(7).trim()));
      recognised = true;
    } else if (/^(?:\+\+\+|---) \S/.test(line) && hunkFollows(lines, at)) {
      // `patch` takes one name alone as well.
      name(headerPath(line.slice(4)));
      recognised = true;
    } else if (/^\*\*\* (?:Add|Update|Delete) File: |^\*\*\* Move to: /.test(line)) {
      if (!line.startsWith("*** Move")) open().created = line.startsWith("*** Add");
      name(line.slice(line.indexOf(": ") + 2).trim());
      recognised = true;
    } else if (/^(?:new mode|new file mode) \d+/.test(line)) {
      const current = file ?? open();
      current.newMode = line.trim().split(" ").at(-1) as string;
      current.created ||= line.startsWith("new file");
      recognised = true;
    } else if (line.startsWith("GIT binary patch") || /^Binary files .* differ$/.test(line)) {
      (file ?? open()).binary = true;
      recognised = true;
    } else if (sign === "+") {
      add(line);
      recognised = true;
    } else if (sign === "-") {
      removed++;
      recognised = true;
    } else if (/^[!>] /.test(line)) {
      // Changed lines of context diffs, new ones of normal diffs.
      add(line.slice(1));
    }
  }
  return { files, added, removed, recognised };
}

/** A hunk begins within the next lines. */
function hunkFollows(lines: readonly string[], at: number): boolean {
  return lines.slice(at + 1, at + 3).some((line) => /^@@ -\d|^\*{15}/.test(line));
}

/** `--- ` opens a file only when `+++ ` follows; alone, each is content that begins with the sign. */
function isHeaderPair(line: string, next: string | undefined): boolean {
  return next?.startsWith("+++ ") === true && headerPath(line.slice(4)) !== "" && headerPath(next.slice(4)) !== "";
}

function headerPath(text: string): string {
  const path = unquote(text.split("\t", 1)[0]?.trim() ?? "");
  return path === "/dev/null" ? path : stripPrefix(path);
}

function stripPrefix(path: string): string {
  return path.replace(/^[abciow]\//, "");
}

/** Git quotes unusual names in C style, with octal bytes. */
function unquote(text: string): string {
  if (!text.startsWith('"') || !text.endsWith('"') || text.length < 2) return text;
  const bytes: number[] = [];
  const body = Buffer.from(text.slice(1, -1), "utf8");
  for (let i = 0; i < body.length; i++) {
    const octal = body[i] === 92 ? /^[0-7]{3}/.exec(body.toString("latin1", i + 1, i + 4)) : null;
    if (octal !== null) {
      bytes.push(Number.parseInt(octal[0], 8) & 255);
      i += 3;
    } else if (body[i] === 92 && i + 1 < body.length) {
      i++;
      const control = "abtnvfr".indexOf(String.fromCharCode(body[i] as number));
      bytes.push(control < 0 ? (body[i] as number) : 7 + control);
    } else bytes.push(body[i] as number);
  }
  return Buffer.from(bytes).toString("utf8");
}

/** Both names of a `diff --git` line; without quotes the split is at ` b/`. */
function gitPaths(text: string): readonly string[] {
  const quoted = /^("(?:[^"\\]|\\.)*"|\S+) ("(?:[^"\\]|\\.)*"|\S+)$/.exec(text);
  if (quoted !== null) return [quoted[1] as string, quoted[2] as string].map((part) => stripPrefix(unquote(part)));
  const middle = text.indexOf(" b/");
  return middle < 0 ? [stripPrefix(text)] : [stripPrefix(text.slice(0, middle)), stripPrefix(text.slice(middle + 1))];
}
