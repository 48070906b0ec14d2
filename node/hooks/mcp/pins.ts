/**
 * What each server's tools said of themselves when they were first seen, by hash. A tool that describes itself otherwise
 * later is withheld until a person accepts it (`spine mcp --accept-changes`). One file for each server.
 */
import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../../files.ts";
import { type Fields, isFields } from "../flat-action.ts";
import { readText } from "../installs.ts";

/** Tools of one server that are remembered; more are withheld. */
const MAX_TOOLS = 2_000;

export type PinState = "new" | "same" | "changed" | "full";

export class ToolPins {
  readonly #path: string | undefined;
  readonly #known: Map<string, string>;
  /** Seen otherwise than pinned, until accepted. */
  readonly changed = new Set<string>();

  private constructor(path: string | undefined, known: Map<string, string>) {
    this.#path = path;
    this.#known = known;
  }

  /** `server`: the command line or URL. Without a folder pins last as long as the session. */
  static async open(folder: string | undefined, server: string): Promise<ToolPins> {
    if (folder === undefined) return new ToolPins(undefined, new Map());
    const path = join(folder, `${createHash("sha256").update(server).digest("hex").slice(0, 32)}.json`);
    const text = await readText(path);
    const value: unknown = text === undefined ? {} : JSON.parse(text);
    const tools = isFields(value) && isFields(value["tools"]) ? value["tools"] : {};
    return new ToolPins(path, new Map(Object.entries(tools).map(([name, hash]) => [name, String(hash)])));
  }

  /** Everything a server says of a tool, in whatever order it says it. */
  static hash(tool: Fields): string {
    return createHash("sha256")
      .update(JSON.stringify(sorted(tool)))
      .digest("hex");
  }

  look(name: string, hash: string): PinState {
    const known = this.#known.get(name);
    if (known === undefined) return this.#known.size >= MAX_TOOLS ? "full" : "new";
    if (known === hash) return "same";
    this.changed.add(name);
    return "changed";
  }

  pin(name: string, hash: string): void {
    this.#known.set(name, hash);
    this.changed.delete(name);
  }

  /** Durable when resolved. */
  async save(): Promise<void> {
    if (this.#path === undefined) return;
    await mkdir(join(this.#path, ".."), { recursive: true, mode: 0o700 });
    const text = `${JSON.stringify({ version: 1, tools: Object.fromEntries(this.#known) }, null, 2)}\n`;
    await writeFileAtomic(this.#path, text, { mode: 0o600, exclusive: false });
  }
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isFields(value)) return value;
  const names = Object.keys(value).sort();
  return names.map((name) => [name, sorted(value[name])]);
}
