/** HDLC, KISS, RNode and discovery codecs against the vectors, and against noise. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { discoveryToken, multicastGroup, type Scope } from "../../../planes/reticulum/interfaces/discovery.ts";
import { HdlcDecoder, hdlcEncode } from "../../../planes/reticulum/interfaces/hdlc.ts";
import { KISS, KissDecoder, kissEncode, kissSetupFrames } from "../../../planes/reticulum/interfaces/kiss.ts";
import {
  checkRadioConfig,
  detectBurst,
  leaveCommand,
  type RadioConfig,
  RNODE,
  type RNodeEvent,
  RNodeParser,
  radioBitrate,
  radioSetup,
  signalQuality,
} from "../../../planes/reticulum/interfaces/rnode.ts";
import { concatBytes, fromHex, toHex } from "../../../spine/index.ts";
import { assertHex, describeVectors, type VectorFile } from "./vectors.ts";

interface FramingCase {
  readonly kind: string;
  readonly name: string;
  readonly payload: string;
  readonly hdlc: string;
  readonly kiss: string;
  readonly chunks: readonly string[];
  readonly frames: readonly string[];
  readonly stream: string;
  readonly frequency: number;
  readonly bandwidth: number;
  readonly txpower: number;
  readonly sf: number;
  readonly cr: number;
  readonly st_alock_pct: number | null;
  readonly lt_alock_pct: number | null;
  readonly detect: string;
  readonly init: string;
  readonly data_payload: string;
  readonly data_frame: string;
  readonly leave: string;
  readonly bitrate_bps: number;
  readonly preamble_ms: number;
  readonly txtail_ms: number;
  readonly persistence: number;
  readonly slottime_ms: number;
  readonly bytes: string;
  readonly packets: readonly { payload: string; rssi: number; snr: number; q: number }[];
  readonly state: Readonly<Record<string, unknown>>;
}

/** TCP's rule: frames of at most 19 bytes are dropped. */
function hdlcFrames(chunks: readonly string[]): string[] {
  const decoder = new HdlcDecoder(1064);
  const frames: string[] = [];
  for (const chunk of chunks) decoder.push(fromHex(chunk), (f) => f.length > 19 && frames.push(toHex(f)));
  return frames;
}

function kissFrames(chunks: readonly string[]): string[] {
  const decoder = new KissDecoder(1064);
  const frames: string[] = [];
  for (const chunk of chunks) {
    decoder.push(fromHex(chunk), (command, f) => (command & 15) === KISS.data && frames.push(toHex(f)));
  }
  return frames;
}

function rnodeCommands(c: FramingCase): void {
  const config: RadioConfig = {
    frequencyHz: c.frequency,
    bandwidthHz: c.bandwidth,
    txPowerDbm: c.txpower,
    spreadingFactor: c.sf,
    codingRate: c.cr,
    ...(c.st_alock_pct === null ? {} : { airtimeShortPercent: c.st_alock_pct }),
    ...(c.lt_alock_pct === null ? {} : { airtimeLongPercent: c.lt_alock_pct }),
  };
  checkRadioConfig(config);
  assertHex(detectBurst(), c.detect);
  assertHex(radioSetup(config), c.init);
  assertHex(kissEncode(RNODE.data, fromHex(c.data_payload)), c.data_frame);
  assertHex(leaveCommand(), c.leave);
  assert.equal(radioBitrate(config), c.bitrate_bps);
}

function rnodeParse(c: FramingCase): void {
  const parser = new RNodeParser();
  const events: RNodeEvent[] = [];
  new KissDecoder(512).push(fromHex(c.stream), (command, payload) => {
    const event = parser.frame(command, payload);
    if (event !== undefined) events.push(event);
  });
  const packets = events.map((event) => {
    assert.ok(event.type === "packet" && event.rssiDbm !== undefined && event.snrDb !== undefined);
    const q = signalQuality(event.snrDb, c.state["sf"] as number);
    return { payload: toHex(event.payload), rssi: event.rssiDbm, snr: event.snrDb, q };
  });
  assert.deepEqual(packets, c.packets);
  const s = parser.state;
  assert.deepEqual(
    {
      detected: s.detected,
      firmware: s.firmware,
      platform: s.platform,
      mcu: s.mcu,
      frequency: s.frequencyHz,
      bandwidth: s.bandwidthHz,
      txpower: s.txPowerDbm,
      sf: s.spreadingFactor,
      cr: s.codingRate,
      radio_state: s.radioState,
      airtime_short: s.airtimeShortPercent,
      airtime_long: s.airtimeLongPercent,
      channel_load_short: s.channelLoadShortPercent,
      channel_load_long: s.channelLoadLongPercent,
      current_rssi: s.rssiDbm,
      noise_floor: s.noiseFloorDbm,
      interference: s.interferenceDbm,
      symbol_time_ms: s.symbolTimeMs,
      symbol_rate: s.symbolRate,
      preamble_symbols: s.preambleSymbols,
      preamble_time_ms: s.preambleMs,
      csma_slot_ms: s.csmaSlotMs,
      csma_difs_ms: s.csmaDifsMs,
      csma_cw: [s.csmaBand, s.csmaMin, s.csmaMax],
      battery: [s.batteryState, s.batteryPercent],
      temperature: s.temperatureC,
      bitrate: 3125,
    },
    c.state,
  );
}

const CHECKS: Readonly<Record<string, (c: FramingCase) => void>> = {
  encode: (c) => {
    assertHex(hdlcEncode(fromHex(c.payload)), c.hdlc);
    assertHex(kissEncode(KISS.data, fromHex(c.payload)), c.kiss);
  },
  "hdlc-tcp-decode": (c) => assert.deepEqual(hdlcFrames(c.chunks), c.frames),
  "kiss-tcp-decode": (c) => assert.deepEqual(kissFrames(c.chunks), c.frames),
  "rnode-commands": rnodeCommands,
  "rnode-parse": rnodeParse,
  "kiss-config": (c) => {
    const frames = kissSetupFrames({
      preambleMs: c.preamble_ms,
      txTailMs: c.txtail_ms,
      persistence: c.persistence,
      slotTimeMs: c.slottime_ms,
    });
    assertHex(concatBytes(...frames), c.bytes);
  },
};

describeVectors<VectorFile<FramingCase>>("framing", ({ cases }) => {
  cases.forEach((c, i) => {
    it(`${i} ${c.kind} ${c.name ?? ""}`, () => {
      const check = CHECKS[c.kind];
      assert.ok(check !== undefined, `unknown kind ${c.kind}`);
      check(c);
    });
  });
});

interface AutoCase {
  readonly group_id: string;
  readonly scope?: Scope;
  readonly multicast_address: string;
  readonly source_address: string;
  readonly discovery_token: string;
}
describeVectors<VectorFile<AutoCase>>("autointerface", ({ cases }) => {
  for (const c of cases) {
    it(`${c.group_id} ${c.scope ?? c.source_address}`, () => {
      if (c.scope !== undefined) assert.equal(multicastGroup(c.group_id, c.scope), c.multicast_address);
      else assertHex(discoveryToken(c.group_id, c.source_address), c.discovery_token);
    });
  }
});

describe("framing of anything", () => {
  const payloads = fc.array(fc.uint8Array({ minLength: 1, maxLength: 200 }), { maxLength: 8 });
  const cut = fc.integer({ min: 1, max: 40 });
  it("survives HDLC in any cut", () => {
    fc.assert(
      fc.property(payloads, cut, (frames, size) => {
        const stream = concatBytes(...frames.map(hdlcEncode));
        const decoder = new HdlcDecoder(500);
        const out: string[] = [];
        for (let at = 0; at < stream.length; at += size) {
          decoder.push(stream.subarray(at, at + size), (f) => out.push(toHex(f)));
        }
        assert.deepEqual(out, frames.map(toHex));
      }),
    );
  });
  it("survives KISS in any cut", () => {
    fc.assert(
      fc.property(payloads, cut, (frames, size) => {
        const stream = concatBytes(...frames.map((f) => kissEncode(KISS.data, f)));
        const decoder = new KissDecoder(500);
        const out: string[] = [];
        for (let at = 0; at < stream.length; at += size) {
          decoder.push(stream.subarray(at, at + size), (_, f) => out.push(toHex(f)));
        }
        assert.deepEqual(out, frames.map(toHex));
      }),
    );
  });
  it("bounds what a line without flags can make it hold", () => {
    const decoder = new HdlcDecoder(500);
    const frames: Uint8Array[] = [];
    decoder.push(Uint8Array.of(0x7e), (f) => frames.push(f));
    for (let i = 0; i < 100; i++) decoder.push(new Uint8Array(500).fill(1), (f) => frames.push(f));
    decoder.push(concatBytes(Uint8Array.of(0x7e), hdlcEncode(new Uint8Array(30).fill(2))), (f) => frames.push(f));
    assert.deepEqual(frames.map(toHex), [toHex(new Uint8Array(30).fill(2))]);
  });
  it("takes any RNode noise", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (noise) => {
        const parser = new RNodeParser();
        new KissDecoder(512).push(concatBytes(Uint8Array.of(0xc0), noise), (c, p) => parser.frame(c, p));
      }),
    );
  });
});
