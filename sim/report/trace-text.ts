/** Lines of a trace for people: who did what, with names for numbers. What it does not know stays as it is. */
import { frameTypeOf } from "../../spine/index.ts";

type Words = readonly string[];
type Say = (words: Words, name: (word: string | undefined) => string) => string;

function frame(type: string | undefined): string {
  return frameTypeOf(Uint8Array.of(Number(type))) ?? `frame ${type}`;
}

/** "4+10,20+1" → "4..13, 20". */
function spans(runs: string | undefined): string {
  const parts = (runs ?? "").split(",").map((run) => {
    const [first = 0, count = 0] = run.split("+").map(Number);
    return count > 1 ? `${first}..${first + count - 1}` : String(first);
  });
  return parts.join(", ");
}

const SAY: Readonly<Record<string, Say>> = {
  frame: ([from, to, type, bytes], name) => `${name(from)} → ${name(to)}  ${frame(type)}, ${bytes} bytes`,
  commit: ([node, runs], name) => `${name(node)}  wrote ${runs === "" ? "its state" : `seq ${spans(runs)}`}`,
  air: ([network, node, bytes, , , ms], name) => `${name(node)}  on the air of ${network}: ${bytes} bytes, ${ms} ms`,
  radio: ([node, , tier, type, bytes], name) =>
    `${name(node)}  to its radio: ${frame(type)}, ${bytes} bytes, tier ${tier}`,
  publish: ([network, node, bytes], name) => `${name(node)}  to the stream of ${network}: ${bytes} bytes`,
  read: ([network, node, count], name) => `${name(node)}  read ${count} envelopes from the stream of ${network}`,
  up: ([network, a, b], name) => `${name(a)} – ${name(b)}  linked over ${network}`,
  down: ([network, a, b], name) => `${name(a)} – ${name(b)}  link over ${network} lost`,
  closed: ([network, node], name) => `${name(node)}  hung up on ${network}`,
  crash: ([node, keeps], name) => `${name(node)}  crashed${keeps === "true" ? "" : " and lost its disk"}`,
  restart: ([node], name) => `${name(node)}  restarted`,
  penalise: ([node, link, code], name) => `${name(node)}  penalised ${link} for ${code}`,
};

/** `line` is "MILLISECONDS EVENT", as `onTrace` gives it; `names` are the nodes' by their numbers. */
export function readableTrace(line: string, names: readonly string[]): readonly [string, string] {
  const [ms = "", verb = "", ...words] = line.split(" ");
  const name = (word: string | undefined): string => names[Number(word)] ?? String(word);
  const text = Object.hasOwn(SAY, verb) ? (SAY[verb] as Say)(words, name) : [verb, ...words].join(" ");
  return [`${(Number(ms) / 1_000).toFixed(3)} s`, text];
}
