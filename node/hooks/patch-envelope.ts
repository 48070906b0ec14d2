/**
 * The `*** Begin Patch` envelope of Codex's apply_patch: every file it adds, updates, moves or deletes becomes an action
 * of its own, with the added lines as unified hunks. What does not parse is refused. Used by `tool-actions.ts`.
 */
import type { FlatAction } from "./flat-action.ts";

/** More files than the guards judge in one call. */
const MAX_FILES = 512;
const HEADER = /^\*\*\* (Add|Update|Delete) File: (.+)$/;

interface Part {
  readonly kind: "Add" | "Update" | "Delete";
  readonly path: string;
  readonly lines: string[];
  moved?: string;
}

/** Undefined when it is no such envelope, or one that cannot be understood whole. */
export function patchActions(text: string): readonly FlatAction[] | undefined {
  const lines = text.replace(/\r\n/g, "\n").trim().split("\n");
  const first = lines.findIndex((line) => line.trim() === "*** Begin Patch");
  const last = lines.findLastIndex((line) => line.trim() === "*** End Patch");
  if (first < 0 || last <= first) return undefined;
  const parts: Part[] = [];
  for (const line of lines.slice(first + 1, last)) {
    const header = HEADER.exec(line);
    const part = parts.at(-1);
    if (header !== null) {
      const path = (header[2] as string).trim();
      if (path === "" || parts.length >= MAX_FILES) return undefined;
      parts.push({ kind: header[1] as Part["kind"], path, lines: [] });
    } else if (part === undefined) {
      if (!/^\*\*\* Environment ID: /.test(line) && line.trim() !== "") return undefined;
    } else if (line.startsWith("*** Move to: ")) {
      part.moved = line.slice("*** Move to: ".length).trim();
    } else if (line.trim() !== "*** End of File") {
      if (!acceptable(part, line)) return undefined;
      part.lines.push(line);
    }
  }
  return parts.length === 0 ? undefined : parts.flatMap(actionsOf);
}

function acceptable({ kind }: Part, line: string): boolean {
  if (kind === "Delete") return line.trim() === "";
  if (kind === "Add") return line.startsWith("+") || line === "";
  return line === "" || /^(?:[ +-]|@@)/.test(line);
}

function actionsOf({ kind, path, lines, moved }: Part): readonly FlatAction[] {
  if (kind === "Delete") return [{ action_type: "file_write", target: path }];
  if (kind === "Add") {
    const content = `${lines.map((line) => line.slice(1)).join("\n")}\n`;
    return [{ action_type: "file_write", target: path, content }];
  }
  const diff = unified(path, moved ?? path, lines);
  const to: FlatAction[] = moved === undefined ? [] : [{ action_type: "file_write", target: moved }];
  return [{ action_type: "patch", target: path, content: diff }, ...to];
}

/** The envelope names places by context; line numbers here only count what each hunk holds. */
function unified(from: string, to: string, lines: readonly string[]): string {
  const hunks: string[][] = [];
  for (const line of lines) {
    if (line.startsWith("@@")) hunks.push([]);
    else {
      if (hunks.length === 0) hunks.push([]);
      hunks.at(-1)?.push(line === "" ? " " : line);
    }
  }
  const text = hunks
    .filter((hunk) => hunk.length > 0)
    .map((hunk) => {
      const before = hunk.filter((line) => !line.startsWith("+")).length;
      const after = hunk.filter((line) => !line.startsWith("-")).length;
      return `@@ -1,${before} +1,${after} @@\n${hunk.join("\n")}\n`;
    });
  return `--- a/${from.replace(/^\//, "")}\n+++ b/${to.replace(/^\//, "")}\n${text.join("")}`;
}
