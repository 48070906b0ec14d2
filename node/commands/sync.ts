/** `spine sync`: fetches from and offers to one peer, once. */
import { parseIssuer, SpineError } from "../../spine/index.ts";
import { openSession } from "../session.ts";
import { importVerb } from "./transfer.ts";
import type { Verb } from "./verb.ts";

export const sync: Verb = {
  usage: "sync PEER [--issuer I] [--dry-run]",
  about:
    "Syncs once with a peer (a multiaddr, nats:KEY, or file:PATH for an export) and prints what came and went.\n" +
    "Exit code 1 when something the peer offered is still missing; run it again to go on.",
  examples: [
    "spine sync /ip4/192.0.2.1/tcp/4801/p2p/PEER_ID",
    `spine sync nats:${"0".repeat(64)}`,
    "spine sync file:export.jsonl",
  ],
  options: {
    issuer: { type: "string", value: "I", help: "Only this issuer's envelopes." },
    "dry-run": { type: "boolean", help: "Say what would be fetched." },
  },
  operands: { least: 1, most: 1 },
  async run(context) {
    const { dir, env, out, json, note, signal } = context;
    const peer = context.operands[0] as string;
    if (peer.startsWith("file:")) {
      if (context.flag("dry-run") || context.text("issuer")) {
        throw new SpineError("usage", "--dry-run and --issuer do not go with file:");
      }
      const path = peer.slice("file:".length).replace(/^\/\/(?=\/)/, "");
      return importVerb.run({ ...context, operands: [path] });
    }
    const issuer = context.text("issuer");
    if (issuer !== undefined) parseIssuer(issuer);
    const dryRun = context.flag("dry-run");
    await using node = await openSession(dir, env, { passive: dryRun });
    let lines: Promise<unknown> = Promise.resolve();
    const summary = await node.sync(peer, {
      issuer,
      dryRun,
      signal,
      onProgress(progress) {
        if (json) lines = lines.then(() => out.line({ progress })).catch(() => undefined);
        else note(`received ${progress.received} of ${progress.wanted}, ${progress.bytes} bytes`);
      },
    });
    await lines;
    if (json) await out.line(summary);
    else {
      const { received, sent, bytes, seconds, per_second } = summary;
      await out.line(
        `received ${received}, sent ${sent}, ${bytes} bytes in ${seconds.toFixed(2)} s (${Math.round(per_second)}/s)`,
      );
    }
    if (!summary.complete) note(`Not complete: ${summary.reason ?? "the peer did not give all it offered"}`);
    return summary.complete ? 0 : 1;
  },
};
