/**
 * Bridge to the public Reticulum conformance suite: one JSON object per line in, one out, after READY. An unknown command
 * fails loudly. Run by hand: `CONFORMANCE_SWIFT_BRIDGE_CMD="node dist/test/peers/conformance-bridge.js"`, `--impl=swift`.
 */
import { createInterface } from "node:readline";
import { type Params, PRIMITIVES } from "./conformance-primitives.ts";

interface Request {
  readonly id: string | number;
  readonly command: string;
  readonly params?: Params;
}

function answer(request: Request): Record<string, unknown> {
  const command = PRIMITIVES[request.command];
  if (command === undefined) return { id: request.id, success: false, error: `unknown command: ${request.command}` };
  try {
    return { id: request.id, success: true, result: command(request.params ?? {}) };
  } catch (caught) {
    const error = caught instanceof Error ? caught.message : String(caught);
    return { id: request.id, success: false, error };
  }
}

process.stdout.write("READY\n");
for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() !== "") process.stdout.write(`${JSON.stringify(answer(JSON.parse(line) as Request))}\n`);
}
