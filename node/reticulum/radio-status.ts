/** What an operator of a radio sees: air used, what waits, who was heard, and what became of mail for those away. */
import type { reticulum } from "../../planes/index.ts";
import { type Clock, type Row, RowTable, type SpineError, utf8, utf8Text } from "../../spine/index.ts";

/** Shapes with snake_case fields are the JSON that users see. */
export interface RadioWire {
  readonly wire: string;
  /** Bits per second. */
  readonly bitrate: number;
  /** false: packets only. */
  readonly links: boolean;
  /** Milliseconds on the air in the last hour, and how many are allowed. */
  readonly air_used_ms: number;
  readonly air_allowed_ms: number;
  /** Waiting, and refused or given up, by class; classes of which there are none are left out. */
  readonly waiting: Readonly<Record<string, number>>;
  readonly dropped: Readonly<Record<string, number>>;
  /** Packets that the hour had no air for. */
  readonly withheld: number;
  /** Of the packet received last, where the radio measures it. */
  readonly rssi_dbm: number | null;
  readonly snr_db: number | null;
  readonly neighbours: readonly {
    readonly destination: string;
    readonly linked: boolean;
    readonly last_heard_seconds: number;
  }[];
}

export interface RadioDelivery {
  readonly envelope_hash: string;
  readonly issuer: string;
  readonly seq: number;
  /** The peer's `aegis.spine` destination. */
  readonly peer: string;
  readonly way: "packet" | "mail";
  /** "left": a propagation node has it. */
  readonly state: "delivered" | "left" | "failed";
  /** RFC 3339. */
  readonly at: string;
}

export interface RadioStatus {
  readonly wires: readonly RadioWire[];
  /** Envelopes that wait for peers who are away. */
  readonly waiting_for_absent: number;
  /** The newest, at most 32. */
  readonly deliveries: readonly RadioDelivery[];
}

const MAX_DELIVERIES = 1_024;
const SHOWN_DELIVERIES = 32;
const PREFIX = "delivery/";

/** A ring of rows: what became of the newest envelopes for peers who were away. */
export class Deliveries {
  readonly #clock: Pick<Clock, "now">;
  readonly #commit: (rows: readonly Row[]) => Promise<void>;
  readonly #warn: (error: SpineError) => void;
  #next = 0;
  readonly #newest: RadioDelivery[] = [];
  private constructor(
    clock: Pick<Clock, "now">,
    commit: (rows: readonly Row[]) => Promise<void>,
    warn: (error: SpineError) => void,
  ) {
    this.#clock = clock;
    this.#commit = commit;
    this.#warn = warn;
  }

  /** Goes on with the rows of an earlier run. */
  static async open(options: {
    readonly rows: AsyncIterable<{ readonly key: string; readonly value: Uint8Array }>;
    readonly clock: Pick<Clock, "now">;
    readonly commit: (rows: readonly Row[]) => Promise<void>;
    readonly warn: (error: SpineError) => void;
  }): Promise<Deliveries> {
    const made = new Deliveries(options.clock, options.commit, options.warn);
    const found: { n: number; delivery: RadioDelivery }[] = [];
    for await (const { key, value } of options.rows) {
      if (!key.startsWith(PREFIX)) continue;
      const { n, ...delivery } = JSON.parse(utf8Text(value)) as RadioDelivery & { n: number };
      found.push({ n, delivery });
    }
    found.sort((a, b) => a.n - b.n);
    made.#next = (found.at(-1)?.n ?? -1) + 1;
    made.#newest.push(...found.slice(-SHOWN_DELIVERIES).map(({ delivery }) => delivery));
    return made;
  }

  get newest(): readonly RadioDelivery[] {
    return this.#newest;
  }

  record({ peer, envelope, way, state }: reticulum.Delivery): RadioDelivery {
    const { hash, issuer, seq } = envelope;
    const at = new Date(this.#clock.now()).toISOString();
    const delivery: RadioDelivery = { envelope_hash: hash, issuer, seq, peer, way, state, at };
    const n = this.#next++;
    const key = `${PREFIX}${String(n % MAX_DELIVERIES).padStart(4, "0")}`;
    this.#newest.push(delivery);
    if (this.#newest.length > SHOWN_DELIVERIES) this.#newest.shift();
    const value = utf8(JSON.stringify({ n, ...delivery }));
    this.#commit([{ table: RowTable.radio, key, value }]).catch(this.#warn);
    return delivery;
  }
}

const some = (counts: Readonly<Record<string, number>>): Readonly<Record<string, number>> =>
  Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));

function measured(details: Readonly<Record<string, unknown>> | undefined, name: string): number | null {
  const value = details?.[name];
  return typeof value === "number" ? value : null;
}

export function radioStatus(
  plane: reticulum.ReticulumPlane,
  station: reticulum.Station,
  deliveries: Deliveries | undefined,
): RadioStatus {
  const interfaces = station.status();
  const wires = Object.entries(plane.radio()).map(([wire, status]): RadioWire => {
    const details = interfaces.find(({ name }) => wire === name || wire.startsWith(`${name}/`))?.details;
    return {
      wire,
      bitrate: Math.round(status.bitrate),
      links: !status.packetsOnly,
      air_used_ms: Math.round(status.usedMs),
      air_allowed_ms: Math.round(status.allowedMs),
      waiting: some(status.waiting),
      dropped: some(status.dropped),
      withheld: status.withheld,
      rssi_dbm: measured(details, "lastRssiDbm"),
      snr_db: measured(details, "lastSnrDb"),
      neighbours: status.neighbours.map(({ peer, linked, agoMs }) => {
        return { destination: peer, linked, last_heard_seconds: Math.round(agoMs / 1000) };
      }),
    };
  });
  return { wires, waiting_for_absent: plane.waitingForAbsent, deliveries: deliveries?.newest ?? [] };
}

/** Lines for `spine status`. */
export function radioLines({ wires, waiting_for_absent: waiting, deliveries }: RadioStatus): string[] {
  const counts = (of: Readonly<Record<string, number>>): string =>
    Object.entries(of)
      .map(([name, count]) => `${name} ${count}`)
      .join(", ") || "nothing";
  const lines = wires.flatMap((one) => {
    const percent = one.air_allowed_ms === 0 ? 0 : (100 * one.air_used_ms) / one.air_allowed_ms;
    const air = `${(one.air_used_ms / 1000).toFixed(1)} of ${(one.air_allowed_ms / 1000).toFixed(0)} s air this hour (${percent.toFixed(0)} %)`;
    const quality = one.snr_db === null ? "" : `; last packet ${one.rssi_dbm} dBm, SNR ${one.snr_db} dB`;
    const lost = Object.keys(one.dropped).length === 0 ? "" : `; given up: ${counts(one.dropped)}`;
    return [
      `radio     ${one.wire}: ${one.bitrate} bit/s${one.links ? "" : ", packets only"}; ${air}; waiting: ${counts(one.waiting)}${lost}${quality}`,
      ...one.neighbours.map(
        ({ destination, linked, last_heard_seconds: seconds }) =>
          `          rns:${destination}  ${linked ? "linked" : "no link"}, heard ${seconds} s ago`,
      ),
    ];
  });
  if (waiting > 0 || deliveries.length > 0) {
    const last = deliveries.at(-1);
    const newest =
      last === undefined ? "" : `; last: seq ${last.seq} to rns:${last.peer} ${last.state} by ${last.way}, ${last.at}`;
    lines.push(`absent    ${waiting} envelopes wait for peers who are away${newest}`);
  }
  return lines;
}
