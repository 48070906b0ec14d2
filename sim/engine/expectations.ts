/** Looks, again and again within its time, whether what a scenario expects is so. */
import { factKind } from "../../spine/index.ts";
import type { SimPeer } from "../peer.ts";
import type { Met } from "../result.ts";
import type { Expectation, Select } from "../scenario-file.ts";
import { durationText } from "../text/shape.ts";
import { EPOCH_MS } from "../world.ts";
import { airBoundMs } from "./bounds.ts";
import type { Setup } from "./setup.ts";

/** Looks of one expectation, at most. */
const LOOKS = 2_000;
const LEAST_MS = 50;
const MAX_NAMED = 5;

interface Watch {
  readonly expectation: Expectation;
  readonly what: string;
  met: number | null;
  over: boolean;
  detail: string;
}

/** "" when it is so, else what is missing. */
type Look = () => string;

export class Expectations {
  readonly #setup: Setup;
  readonly #watches: Watch[];
  #open: number;

  constructor(setup: Setup) {
    this.#setup = setup;
    this.#watches = setup.file.expect.map((expectation) => ({
      expectation,
      what: describe(expectation),
      met: null,
      over: false,
      detail: "not looked at",
    }));
    this.#open = this.#watches.length;
    for (const watch of this.#watches) this.#plan(watch);
  }
  /** All of them are decided. */
  get decided(): boolean {
    return this.#open === 0;
  }
  results(): Met[] {
    return this.#watches.map(({ what, met, detail }) => ({
      what,
      ok: met !== null,
      at_ms: met === null ? null : Math.round(met),
      detail: met === null ? detail : "",
    }));
  }

  #plan(watch: Watch): void {
    const { afterMs, withinMs } = watch.expectation;
    const look = lookOf(this.#setup, watch.expectation);
    const everyMs = Math.max(LEAST_MS, withinMs / LOOKS);
    const { world } = this.#setup;
    const turn = (): void => {
      const { elapsedMs } = world;
      const lacks = look();
      if (lacks === "") watch.met = elapsedMs;
      watch.detail = lacks;
      watch.over = lacks === "" || elapsedMs >= afterMs + withinMs;
      if (watch.over) this.#open--;
      else world.clock.schedule(Math.min(world.now() + everyMs, EPOCH_MS + afterMs + withinMs), turn);
    };
    world.clock.schedule(EPOCH_MS + afterMs, turn);
  }
}

function describe({ afterMs, withinMs, ...what }: Expectation): string {
  const { type, ...rest } = what;
  const parts = Object.entries(rest).map(([name, value]) => `${name}: ${String(value)}`);
  return `${type}${parts.length > 0 ? ` (${parts.join(", ")})` : ""} within ${durationText(withinMs)} after ${durationText(afterMs)}`;
}

function lookOf(setup: Setup, what: Expectation): Look {
  const { names, world, tracker } = setup;
  const named = (indexes: Iterable<number>): string => {
    const all = [...indexes];
    const more = all.length > MAX_NAMED ? ` and ${all.length - MAX_NAMED} more` : "";
    return (
      all
        .slice(0, MAX_NAMED)
        .map((index) => names.nameOf(index))
        .join(", ") + more
    );
  };
  /** Those of a selection for which something is not so. */
  const unless = (select: Select, holds: (peer: SimPeer) => boolean, text: string): string => {
    const wrong = setup.peers(select).filter((peer) => !holds(peer));
    return wrong.length === 0 ? "" : `${text}: ${named(wrong.map(({ index }) => index))}`;
  };
  switch (what.type) {
    case "converged":
      return () => {
        const nodes = names.select(what.nodes);
        const down = nodes.filter((index) => !world.peer(index).running);
        if (down.length > 0) return `down: ${named(down)}`;
        const lacking = tracker.lacking(
          nodes,
          setup.peers(what.issuers).map(({ issuer }) => issuer),
        );
        return lacking.size === 0 ? "" : `lacking something: ${named(lacking)}`;
      };
    case "apart":
      return () => {
        const lacking = tracker.lacking(
          names.select(what.nodes),
          setup.peers(what.issuers).map(({ issuer }) => issuer),
        );
        return lacking.size > 0 ? "" : "they all hold the same";
      };
    case "revoked": {
      const target = world.peer(names.index(what.target)).issuer;
      return () =>
        unless(what.nodes, ({ mesh }) => mesh?.authority.standing(target).revokedFrom === 0, "not known there");
    }
    case "frozen": {
      const { issuer } = world.peer(names.index(what.issuer));
      return () => {
        const seqs = new Set(setup.peers(what.nodes).map(({ disk }) => disk.record(issuer)?.frozenAt ?? null));
        const [seq] = seqs;
        const right = seqs.size === 1 && seq !== null && (what.seq === null || seq === what.seq);
        return right ? "" : `frozen at ${[...seqs].map(String).join(", ")}`;
      };
    }
    case "not-frozen":
      return () => {
        const issuers = setup.peers(what.issuers).map(({ issuer }) => issuer);
        const free = ({ disk }: SimPeer): boolean =>
          issuers.every((one) => (disk.record(one)?.frozenAt ?? null) === null);
        return unless(what.nodes, free, "froze one of them");
      };
    case "signing":
      return () =>
        unless(what.nodes, (peer) => peer.running && peer.signs === what.is, what.is ? "not signing" : "signing");
    case "strangers-at-most": {
      const own = new Set(world.peers.map(({ issuer }) => issuer));
      return () =>
        unless(
          what.nodes,
          ({ disk, mesh }) => {
            const strange = disk.issuers().filter((issuer) => !own.has(issuer));
            return strange.length <= what.envelopes && (mesh?.load.claims ?? 0) <= what.claims;
          },
          "keeps too much of strangers",
        );
    }
    case "urgent-within":
      return () => {
        const nodes = names.select(what.nodes);
        for (const one of tracker.all()) {
          const kind = factKind(one.schema)?.kind ?? "";
          if (kind !== "revocation" && kind !== "incident") continue;
          if (!nodes.every((index) => !one.audience.has(index) || one.held.has(index)))
            return "an urgent fact is missing";
          if (one.completeAtMs !== null && one.completeAtMs - one.publishedAtMs > what.ms)
            return `one took ${Math.round(one.completeAtMs - one.publishedAtMs)} ms`;
        }
        return "";
      };
    case "checkpoints":
      return () => {
        const counts = names.select(what.nodes).map((index) => setup.keepers.get(index)?.madeAtMs.length ?? 0);
        const wrong = counts.find((count) => count < what.atLeast || count > what.atMost);
        return wrong === undefined ? "" : `${wrong} checkpoints of one log`;
      };
    case "split-view-proven": {
      const logId = world.peer(names.index(what.log)).issuer;
      return () =>
        unless(what.nodes, ({ index }) => setup.followers.get(index)?.proves(logId) === true, "has no proof");
    }
    case "airtime-within":
      return () => {
        const network = setup.network(what.network);
        const boundMs = airBoundMs(setup, network);
        const times = boundMs === 0 ? 0 : (network.airtimeMs?.() ?? 0) / boundMs;
        return times <= what.timesBound ? "" : `${times.toFixed(2)} times the bound`;
      };
  }
}
