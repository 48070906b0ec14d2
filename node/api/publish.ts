/**
 * `POST /v1/publish`: the hot path, served in front of the router. One JSON fact, an array of facts, or JSON Lines
 * (`application/x-ndjson`); a batch is answered item by item, so that a bad one never stops the rest.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { asSpineError, parseJson, SpineError, utf8Text } from "../../spine/index.ts";
import type { Fact, NodeHandle, PublishResult, RefusedItem } from "../handle.ts";
import type { BodyReader } from "./body.ts";
import { sendJson, sendText } from "./stream.ts";

/** Facts of one request at most. */
export const MAX_FACTS = 4096;

const NEWLINE = 10;
const ARRAY = 0x5b;

/** `application/json` is a fact or an array of facts; `…ndjson` and `…jsonl` are lines. */
export function isLinesType(contentType: string | undefined): boolean {
  return contentType !== undefined && /\b(x-)?(ndjson|jsonl|json-lines|jsonlines)\b/i.test(contentType);
}

export function refusal(caught: unknown): RefusedItem {
  const error = asSpineError(caught);
  return { ok: false, code: error.code, message: error.message };
}

/** The bytes of each line; the empty rest after a last line break is none. */
export function bodyLines(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  while (start < bytes.length) {
    const found = bytes.indexOf(NEWLINE, start);
    const end = found < 0 ? bytes.length : found;
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return lines;
}

async function publishItems(
  node: NodeHandle,
  items: readonly (() => Fact)[],
  signal: AbortSignal,
): Promise<readonly PublishResult[]> {
  if (items.length > MAX_FACTS) throw new SpineError("api_input", `${items.length} facts, at most ${MAX_FACTS}`);
  const results: PublishResult[] = new Array(items.length);
  const facts: Fact[] = [];
  const places: number[] = [];
  items.forEach((read, place) => {
    try {
      facts.push(read());
      places.push(place);
    } catch (caught) {
      results[place] = refusal(caught);
    }
  });
  const answers = facts.length > 0 ? await node.publish(facts, { signal }) : [];
  answers.forEach((answer, index) => {
    results[places[index] as number] = answer;
  });
  return results;
}

export async function servePublish(
  request: IncomingMessage,
  response: ServerResponse,
  node: NodeHandle,
  bodies: BodyReader,
  signal: AbortSignal,
): Promise<void> {
  const body = await bodies.read(request);
  try {
    if (isLinesType(request.headers["content-type"])) {
      const lines = bodyLines(body.bytes);
      const results = await publishItems(
        node,
        lines.map((line) => () => parseJson(utf8Text(line))),
        signal,
      );
      const text = results.map((result, index) => `${JSON.stringify({ line: index + 1, ...result })}\n`).join("");
      sendText(response, 200, "application/x-ndjson", text);
      return;
    }
    const value = parseJson(utf8Text(body.bytes));
    if (firstByte(body.bytes) === ARRAY) {
      const facts = value as readonly Fact[];
      const results = await publishItems(
        node,
        facts.map((fact) => () => fact),
        signal,
      );
      sendJson(response, 200, { results });
      return;
    }
    const [result] = await node.publish([value], { signal });
    if (result === undefined) throw new SpineError("internal", "the publisher gave no answer");
    if (!result.ok) throw new SpineError(result.code, result.message);
    sendJson(response, 201, result);
  } finally {
    body.release();
  }
}

/** The first byte that is not JSON white space. */
function firstByte(bytes: Buffer): number | undefined {
  return bytes.find((byte) => byte !== 32 && byte !== 9 && byte !== 10 && byte !== 13);
}
