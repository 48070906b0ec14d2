/** Structured logs on stderr (pino): fixed messages, fields beside them, secrets redacted. Created once per process. */
import pino from "pino";
import type { Config } from "./config.ts";

export type Log = pino.Logger;

/** Bytes held for a stderr that is not read; beyond it lines are dropped. */
const MAX_BUFFER_BYTES = 1_048_576;

const REDACTED = ["seed", "secret", "token", "password", "psk", "authorization"];

/** One readable line: time, level, message, remaining fields. */
function readable(json: string): string {
  const { level, time, msg, pid, hostname, ...fields } = JSON.parse(json) as Record<string, unknown>;
  const clock = new Date(Number(time)).toISOString().slice(11, 19);
  const label = (pino.levels.labels[Number(level)] ?? String(level)).toUpperCase().padEnd(5);
  const rest = Object.entries(fields).map(([name, value]) => {
    return `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`;
  });
  return `${clock} ${label} ${String(msg ?? "")}${rest.length > 0 ? `  ${rest.join(" ")}` : ""}\n`;
}

export function createLog(config: Config["log"], isTerminal: boolean = process.stderr.isTTY === true): Log {
  const sink = pino.destination({ fd: 2, sync: false, minLength: 0, maxLength: MAX_BUFFER_BYTES });
  const text = config.format === "text" || (config.format === "auto" && isTerminal);
  const stream: pino.DestinationStream = text ? { write: (line) => void sink.write(readable(line)) } : sink;
  const paths = REDACTED.flatMap((name) => [name, `*.${name}`]);
  return pino({ level: config.level, base: null, redact: { paths, censor: "[redacted]" } }, stream);
}
