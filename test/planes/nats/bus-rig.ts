/** A plane and a bus on a real server, with the streams of one preset, for the suites of the bus and of what uses it. */
import { randomBytes } from "node:crypto";
import { type BusOptions, NatsBus, NatsPlane, type NatsPreset, natsNames } from "../../../planes/index.ts";
import { draftEnvelope, type Envelope, type JsonObject, sealEnvelope } from "../../../spine/index.ts";
import { namedKey, sha256Hex } from "../../helpers/crypto.ts";

export const SMALL = {
  replicas: 1,
  envelopeBytes: 32 * 1_048_576,
  logBytes: 8 * 1_048_576,
  duplicateWindowMs: 120_000,
};

export interface Rig {
  readonly plane: NatsPlane;
  readonly bus: NatsBus;
  stop(): Promise<void>;
}

export async function busRig(
  servers: readonly string[],
  options: Partial<BusOptions> & { readonly preset?: NatsPreset; readonly offline?: boolean } = {},
): Promise<Rig> {
  const plane = new NatsPlane({
    servers,
    auth: { type: "none" },
    clientName: "test",
    privateKeySeed: new Uint8Array(randomBytes(32)),
    subjectPrefix: options.preset ?? "aegis",
    discover: false,
    startOffline: options.offline ?? false,
  });
  await plane.start({ signal: new AbortController().signal });
  const bus = new NatsBus(plane, {
    names: natsNames(options.preset ?? "aegis"),
    limits: SMALL,
    withLog: false,
    sender: "test",
    durable: `spine_${plane.id.slice(0, 16)}`,
    ...options,
  });
  const stop = async (): Promise<void> => {
    await bus.stop();
    await plane.stop();
  };
  return { plane, bus, stop };
}

/** Polls until true. */
export async function until(what: string, done: () => boolean | Promise<boolean>, deadlineMs = 30_000): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await done())) {
    if (performance.now() > end) throw new Error(`still waiting for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A signed chain from seq 1; equal names give equal chains. */
export function chain(name: string, count: number, kind = "incident"): Envelope[] {
  const schema = `aegis.spine.fact.${kind}.v1`;
  return chainOf(
    name,
    Array.from({ length: count }, (_, i) => ({ schema, fact_id: `inc_${name}_${i + 1}` })),
  );
}

/** A signed chain of these facts from seq 1. */
export function chainOf(name: string, facts: readonly JsonObject[]): Envelope[] {
  const key = namedKey(name);
  const out: Envelope[] = [];
  for (const [i, fact] of facts.entries()) {
    const prev = out.at(-1)?.hash ?? null;
    const draft = draftEnvelope(
      { issuer: key.issuer, seq: i + 1, prev, issuedAt: "2026-01-01T00:00:00Z", fact },
      sha256Hex,
    );
    out.push(sealEnvelope(draft, key.sign(draft.signingBytes)));
  }
  return out;
}
