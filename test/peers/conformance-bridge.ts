/**
 * Bridge to the public Reticulum conformance suite: one JSON object per line in, one out, after READY. An unknown command
 * fails loudly. Run by hand: `CONFORMANCE_SWIFT_BRIDGE_CMD="node dist/test/peers/conformance-bridge.js"`, `--impl=swift`.
 */
import { createInterface } from "node:readline";
import { BEHAVIOUR } from "./conformance-behaviour.ts";
import { CHANNELS } from "./conformance-channels.ts";
import { CRAFT } from "./conformance-craft.ts";
import { CIPHERS } from "./conformance-crypto.ts";
import { DESTINATIONS } from "./conformance-destinations.ts";
import { LINKS } from "./conformance-links.ts";
import { type Params, stopAllNodes, type WireCommand } from "./conformance-node.ts";
import { PACKETS } from "./conformance-packets.ts";
import { PRIMITIVES } from "./conformance-primitives.ts";
import { PROOFS } from "./conformance-proofs.ts";
import { RESOURCE_STATE } from "./conformance-resource-state.ts";
import { RESOURCES } from "./conformance-resources.ts";
import { TRANSFERS } from "./conformance-transfers.ts";
import { WIRE } from "./conformance-wire.ts";

const COMMANDS: Readonly<Record<string, WireCommand>> = {
  ...PRIMITIVES,
  ...WIRE,
  ...LINKS,
  ...TRANSFERS,
  ...CRAFT,
  ...BEHAVIOUR,
  ...CHANNELS,
  ...CIPHERS,
  ...DESTINATIONS,
  ...PACKETS,
  ...PROOFS,
  ...RESOURCES,
  ...RESOURCE_STATE,
};

interface Request {
  readonly id: string | number;
  readonly command: string;
  readonly params?: Params;
}

async function answer(request: Request): Promise<Record<string, unknown>> {
  const command = COMMANDS[request.command];
  if (command === undefined) return { id: request.id, success: false, error: `unknown command: ${request.command}` };
  try {
    return { id: request.id, success: true, result: await command(request.params ?? {}) };
  } catch (caught) {
    const error = caught instanceof Error ? caught.message : String(caught);
    return { id: request.id, success: false, error };
  }
}

process.stdout.write("READY\n");
for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() !== "") process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line) as Request))}\n`);
}
await stopAllNodes();
process.exit(0);
