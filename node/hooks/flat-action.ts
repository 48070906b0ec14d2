/** One action as `POST /v1/check` and the shared cases spell it, made from a harness's payload or an MCP message. */

export interface FlatAction {
  readonly action_type: string;
  readonly target?: string;
  readonly content?: string;
  readonly port?: number;
  readonly args?: unknown;
  readonly payload?: unknown;
}

/** What a call does; `refused` says why it cannot be judged and is then a denial. */
export type Derived = { readonly actions: readonly FlatAction[] } | { readonly refused: string };

export type Fields = Readonly<Record<string, unknown>>;

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The first of the fields that is a text and not empty. */
export function textOf(from: Fields, ...names: readonly string[]): string | undefined {
  for (const name of names) {
    const value = Object.hasOwn(from, name) ? from[name] : undefined;
    if (typeof value === "string" && value !== "") return value;
  }
  return undefined;
}

/** Fields of messages and content blocks whose usual values are nobody's words. */
const TAGS: ReadonlyMap<string, ReadonlySet<unknown>> = new Map([
  ["role", new Set(["user", "assistant"])],
  ["type", new Set(["text", "image", "audio", "resource", "resource_link"])],
]);

function isTag(name: string, value: unknown): boolean {
  return TAGS.get(name)?.has(value) === true;
}

/** All texts of a value in order, one a line: what a model gets to read of a tool's answer. */
export function allText(value: unknown): string {
  const parts: string[] = [];
  const stack: unknown[] = [value];
  while (stack.length > 0) {
    const next = stack.pop();
    if (typeof next === "string") parts.push(next);
    else if (Array.isArray(next)) for (let i = next.length - 1; i >= 0; i--) stack.push(next[i]);
    else if (typeof next === "object" && next !== null)
      for (const [name, one] of Object.entries(next).reverse()) if (!isTag(name, one)) stack.push(one);
  }
  return parts.join("\n");
}

/** Host and port of a URL, or the file it names; undefined when it is neither. */
export function urlAction(url: string): FlatAction | undefined {
  let parsed: URL;
  try {
    parsed = new URL(/^[a-z][a-z0-9+.-]*:/i.test(url) ? url : `https://${url}`);
  } catch {
    return undefined;
  }
  const { protocol, hostname, port } = parsed;
  if (protocol === "file:") return { action_type: "file_access", target: decodePath(parsed.pathname) };
  if (hostname === "") return undefined;
  const standard = { "https:": 443, "http:": 80, "wss:": 443, "ws:": 80, "ftp:": 21 } as const;
  const known = port === "" ? standard[protocol as keyof typeof standard] : Number(port);
  return { action_type: "egress", target: hostname, ...(known !== undefined && { port: known }) };
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
