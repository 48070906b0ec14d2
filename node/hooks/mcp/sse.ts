/** Server-sent events (WHATWG HTML 9.2) of MCP's streamable HTTP: split into events, written anew. Bounded. */
import { SpineError } from "../../../spine/index.ts";
import { MAX_MESSAGE_BYTES } from "./message.ts";

export interface SseEvent {
  readonly event?: string;
  readonly id?: string;
  readonly retry?: string;
  readonly data: string;
}

/** Comments are kept to nothing: they carry no message. Throws `mcp_message` for an event that is too long. */
export async function* readEvents(source: AsyncIterable<Uint8Array>): AsyncGenerator<SseEvent> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let rest = "";
  let fields: { event?: string; id?: string; retry?: string } = {};
  let data: string[] = [];
  let size = 0;
  for await (const chunk of source) {
    rest += decoder.decode(chunk, { stream: true });
    // A carriage return at the end may be half of a line break.
    const held = rest.endsWith("\r") ? 1 : 0;
    const lines = rest.slice(0, rest.length - held).split(/\r\n|\r|\n/);
    rest = `${lines.pop() ?? ""}${held === 1 ? "\r" : ""}`;
    for (const line of lines) {
      size += line.length;
      if (line === "") {
        if (data.length > 0 || fields.id !== undefined || fields.retry !== undefined)
          yield { ...fields, data: data.join("\n") };
        fields = {};
        data = [];
        size = 0;
        continue;
      }
      const at = line.indexOf(":");
      const name = at < 0 ? line : line.slice(0, at);
      const value = at < 0 ? "" : line.slice(at + 1).replace(/^ /, "");
      if (name === "data") data.push(value);
      else if (name === "event" || name === "id" || name === "retry") fields[name] = value;
    }
    if (size + rest.length > MAX_MESSAGE_BYTES)
      throw new SpineError("mcp_message", `an event of more than ${MAX_MESSAGE_BYTES} characters`);
  }
}

export function writeEvent({ event, id, retry, data }: SseEvent): string {
  const line = (name: string, value: string | undefined): string =>
    value === undefined ? "" : `${name}: ${value.replace(/[\r\n]/g, "")}\n`;
  const lines = data.split("\n").map((one) => `data: ${one}\n`);
  return `${line("event", event)}${line("id", id)}${line("retry", retry)}${lines.join("")}\n`;
}
