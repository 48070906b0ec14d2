/**
 * A harness's tool call as guard actions: one table of the tools that Claude Code, Codex, Cursor and Gemini CLI document.
 * A tool that is not in it is judged as `unknown_tool`, which no guard handles: `settings.unhandled_action` decides.
 */
import { allText, type Derived, type Fields, type FlatAction, isFields, textOf, urlAction } from "./flat-action.ts";
import { patchActions } from "./patch-envelope.ts";

type Reader = (input: Fields) => Derived;

const NOTHING: Derived = { actions: [] };
const one = (action: FlatAction): Derived => ({ actions: [action] });
const missing = (...names: readonly string[]): Derived => ({ refused: `the call has no ${names.join(" or ")}` });

const PATHS = ["file_path", "path", "absolute_path", "target_file", "notebook_path", "filePath"];

function read(input: Fields): Derived {
  const target = textOf(input, ...PATHS);
  return target === undefined ? missing("file_path") : one({ action_type: "file_access", target });
}

/** What is written is scanned whole; where only pieces are known, all pieces. */
function write(input: Fields): Derived {
  const target = textOf(input, ...PATHS);
  if (target === undefined) return missing("file_path");
  const { edits } = input;
  const pieces = Array.isArray(edits) ? edits.map((edit) => (isFields(edit) ? edit["new_string"] : undefined)) : [];
  if (pieces.some((piece) => typeof piece !== "string")) return { refused: "an edit has no new_string" };
  const names = ["content", "contents", "new_string", "new_source", "file_text", "code_edit", "fileText"];
  const given = names.flatMap((name) => (typeof input[name] === "string" ? [input[name]] : []));
  const texts = [...given, ...pieces];
  return one({ action_type: "file_write", target, ...(texts.length > 0 && { content: texts.join("\n") }) });
}

function shell(input: Fields): Derived {
  const command = input["command"] ?? input["cmd"] ?? input["script"] ?? input["chars"];
  if (typeof command === "string" && command !== "") return one({ action_type: "shell", target: command });
  // A list of words: `bash -lc TEXT` is the text, anything else the words quoted again.
  if (Array.isArray(command) && command.length > 0 && command.every((word) => typeof word === "string")) {
    const [first, flag, text] = command as string[];
    const inner = /(?:^|\/)(?:ba|z|da)?sh$/.test(first ?? "") && /^-l?c$/.test(flag ?? "") ? text : undefined;
    return one({ action_type: "shell", target: inner ?? (command as string[]).map(quoted).join(" ") });
  }
  return missing("command");
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Bytes typed into a running program; none is only a look at its output. */
function typed(input: Fields): Derived {
  return textOf(input, "chars", "command") === undefined ? NOTHING : shell(input);
}

/** A search reads below a folder; without one it is the working directory. A filter without wildcards is one file. */
function search(input: Fields): Derived {
  const folder = textOf(input, "path", "dir_path", "directory", "target_directory");
  const file = textOf(input, "glob", "include");
  const actions: FlatAction[] = folder === undefined ? [] : [{ action_type: "file_access", target: folder }];
  if (file !== undefined && !/[*?[\]{}]/.test(file)) {
    const target = folder === undefined ? file : `${folder.replace(/\/$/, "")}/${file}`;
    actions.push({ action_type: "file_access", target });
  }
  return { actions };
}

/** As `search`, for tools whose pattern is one of file names. */
function find(input: Fields): Derived {
  const folder = textOf(input, "path", "dir_path", "directory", "target_directory");
  const pattern = textOf(input, "pattern", "glob_pattern");
  const actions: FlatAction[] = folder === undefined ? [] : [{ action_type: "file_access", target: folder }];
  // The part before the first wildcard is a real folder or file.
  const start = pattern?.split(/[*?[{]/, 1)[0] ?? "";
  const base = start === pattern ? start : start.slice(0, start.lastIndexOf("/") + 1);
  if (/^[/~]/.test(base) && base !== "/") actions.push({ action_type: "file_access", target: base });
  return { actions };
}

function many(input: Fields): Derived {
  const paths = [input["paths"], input["include"]].flatMap((value) => (Array.isArray(value) ? value : []));
  if (paths.length === 0 || !paths.every((path) => typeof path === "string")) return missing("paths");
  return { actions: paths.map((target) => ({ action_type: "file_access", target: target as string })) };
}

/** Gemini's web_fetch takes its addresses inside a prompt. */
function fetchUrl(input: Fields): Derived {
  const url = textOf(input, "url");
  const found =
    url === undefined ? (textOf(input, "prompt")?.match(/\b[a-z][a-z0-9+.-]*:\/\/[^\s"'<>)\]]+/gi) ?? []) : [url];
  const actions = found.map(urlAction);
  if (actions.length === 0) return missing("url");
  if (actions.some((action) => action === undefined)) return { refused: "the url cannot be read" };
  return { actions: actions as FlatAction[] };
}

/** A command of one tool of Codex is a patch; other fields hold it in other versions. */
function applyPatch(input: Fields): Derived {
  const text = textOf(input, "command", "input", "patch", "patchText");
  if (text === undefined) return missing("command");
  const actions = patchActions(text);
  return actions === undefined ? { refused: "the patch cannot be read" } : { actions };
}

const READERS: Readonly<Record<string, Reader>> = Object.assign(Object.create(null) as Record<string, Reader>, {
  ...table(read, "Read", "View", "NotebookRead", "read_file", "ReadFile", "view_image", "ReadLints", "LS", "ListDir"),
  ...table(write, "Write", "Edit", "NotebookEdit", "MultiEdit", "StrReplace", "EditNotebook", "Delete", "delete_file"),
  ...table(write, "write_file", "replace", "edit_file", "search_replace", "TabWrite"),
  ...table(
    shell,
    "Bash",
    "Shell",
    "PowerShell",
    "shell",
    "local_shell",
    "exec_command",
    "run_shell_command",
    "Monitor",
  ),
  ...table(typed, "write_stdin"),
  ...table(search, "Grep", "grep_search", "search_file_content", "SemanticSearch", "codebase_search"),
  ...table(find, "Glob", "glob", "file_search", "list_directory", "list_dir"),
  ...table(many, "read_many_files"),
  ...table(fetchUrl, "WebFetch", "web_fetch"),
  ...table(applyPatch, "apply_patch", "ApplyPatch"),
  // Nothing here reaches a file, a host or a program by itself; a sub-agent's own calls come to us one by one.
  ...table(
    () => NOTHING,
    ...["WebSearch", "web_search", "google_web_search", "TodoWrite", "TodoRead", "write_todos", "update_plan"],
    ...["Task", "Agent", "Subagent", "TaskCreate", "TaskGet", "TaskList", "TaskUpdate", "TaskOutput", "TaskStop"],
    ...["BashOutput", "KillShell", "KillBash", "AskUserQuestion", "ask_user", "AskQuestion", "request_user_input"],
    ...["EnterPlanMode", "ExitPlanMode", "enter_plan_mode", "exit_plan_mode", "ToolSearch", "Skill", "activate_skill"],
    ...["ListMcpResourcesTool", "save_memory", "get_internal_docs", "StructuredOutput", "complete_task"],
  ),
});

function table(reader: Reader, ...names: readonly string[]): Readonly<Record<string, Reader>> {
  return Object.fromEntries(names.map((name) => [name, reader]));
}

/** `tool` as the harness names it. `mcp`: the harness says that it belongs to an MCP server. */
export function toolActions(tool: string, given: unknown, mcp: boolean): Derived {
  const input = typeof given === "string" ? objectOf(given) : given;
  if (mcp || /^(?:mcp__|mcp_|MCP:)/.test(tool)) {
    const args = given === undefined || given === null ? {} : input;
    return isFields(args)
      ? one({ action_type: "mcp_tool", target: tool, args })
      : { refused: "the arguments are no object" };
  }
  const reader = READERS[tool];
  if (reader === undefined) return one({ action_type: "unknown_tool", payload: { tool, input: input ?? null } });
  return isFields(input) ? reader(input) : { refused: "the call has no arguments" };
}

/** Cursor sends arguments as the text of an object. */
function objectOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Tools that bring text of strangers into the model's sight. */
export function resultActions(tool: string, input: unknown, response: unknown, mcp: boolean): readonly FlatAction[] {
  const web = /^(?:WebFetch|web_fetch|WebSearch|web_search|google_web_search)$/.test(tool);
  if (!web && !mcp && !/^(?:mcp__|mcp_|MCP:)/.test(tool)) return [];
  const text = allText(typeof response === "string" ? (objectOf(response) ?? response) : response);
  if (text === "") return [];
  const source = (isFields(input) && textOf(input, "url")) || tool;
  return [{ action_type: "untrusted_text", payload: { text, source } }];
}
