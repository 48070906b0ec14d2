/** The radio model against published air times, and the ether's physics in virtual time. */
import assert from "node:assert/strict";
import { type Radio, RadioEther, type RadioSettings } from "../../../planes/reticulum/ether.ts";
import {
  AirtimeLedger,
  contentionBand,
  frameAirtimeMs,
  nominalBitrate,
  packetAirtimeMs,
  preambleSymbols,
} from "../../../planes/reticulum/radio.ts";
import { Timers } from "../../../planes/reticulum/stack/timers.ts";
import type { Clock } from "../../../spine/index.ts";
import { describeShared, sharedText } from "../../helpers/shared.ts";
import { seededRandom } from "./ether.ts";

const NOTES = "spec/radio-field-notes.md";

describeShared("radio model against the field notes", [NOTES], () => {
  const rows = sharedText(NOTES)
    .split("\n")
    .filter((line) => /^\| (62\.5|125|250|500) \|/.test(line))
    .map((line) => line.split("|").slice(1, -1).map(Number));
  it("has the whole table", () => assert.equal(rows.length, 24));
  for (const row of rows) {
    const [kHz, sf, preamble, bitrate, keepalive, request, proof, announce, full] = row as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    it(`${kHz} kHz SF${sf}`, () => {
      const m = { bandwidthHz: kHz * 1000, spreadingFactor: sf, codingRate: 5 };
      assert.equal(preambleSymbols(m), preamble);
      assert.ok(Math.abs(nominalBitrate(m) - bitrate) <= 0.5);
      assert.deepEqual(
        [20, 86, 118, 210, 500].map((bytes) => Math.round(packetAirtimeMs(m, bytes))),
        [keepalive, request, proof, announce, full],
      );
    });
  }
});

describe("radio model", () => {
  it("agrees with the public calculator", () => {
    const m = { bandwidthHz: 125_000, spreadingFactor: 9, codingRate: 5 };
    assert.equal(frameAirtimeMs(m, 13, 8).toFixed(3), "164.864");
  });
  it("widens contention with airtime", () => {
    assert.deepEqual([0, 0.07, 0.08, 0.6, 0.85, 1].map(contentionBand), [1, 1, 2, 3, 4, 4]);
  });
  it("forgets airtime after its window", () => {
    const ledger = new AirtimeLedger();
    ledger.add(1_000_000_000, 1500);
    assert.equal(ledger.short(1_000_000_000), 0.1);
    assert.equal(ledger.short(1_000_015_000), 0);
    assert.equal(ledger.long(1_000_015_000), 1500 / 3_600_000);
    assert.equal(ledger.long(1_003_600_000), 0);
  });
});

class VirtualClock implements Clock {
  time = 1_000_000;
  readonly #timers = new Timers();
  now(): number {
    return this.time;
  }
  schedule(at: number, task: () => void): () => void {
    return this.#timers.schedule(at, task);
  }
  run(forMs: number): void {
    const until = this.time + forMs;
    for (let next = this.#timers.next(); next !== undefined && next <= until; next = this.#timers.next()) {
      this.time = Math.max(this.time, next);
      this.#timers.runDue(this.time);
    }
    this.time = until;
  }
}

const SETTINGS: RadioSettings = {
  frequencyHz: 868_000_000,
  bandwidthHz: 125_000,
  spreadingFactor: 8,
  codingRate: 5,
  txPowerDbm: 14,
  airtimeShort: 0,
  airtimeLong: 0,
};

interface World {
  readonly clock: VirtualClock;
  readonly radios: readonly Radio[];
  readonly heard: { readonly at: number; readonly by: string; readonly bytes: number; readonly snr: number }[];
}

function world(names: readonly string[], attenuationDb?: (from: string, to: string) => number, loss = 0): World {
  const clock = new VirtualClock();
  const random = seededRandom("radio");
  const chance = (): number => (random(1)[0] as number) / 256;
  const ether = new RadioEther({ clock, chance, loss, ...(attenuationDb === undefined ? {} : { attenuationDb }) });
  const heard: World["heard"] = [];
  const radios = names.map((name) => {
    const radio = ether.join(name, (packet, _, snr) => {
      heard.push({ at: clock.now(), by: name, bytes: packet.length, snr });
    });
    radio.settings = SETTINGS;
    return radio;
  });
  return { clock, radios, heard };
}

describe("radio ether", () => {
  it("takes the airtime of the packet, in two frames when it is long", () => {
    const { clock, radios, heard } = world(["a", "b", "c"]);
    radios[0]?.send(new Uint8Array(500));
    clock.run(5000);
    assert.deepEqual(
      heard.map(({ by, bytes }) => [by, bytes]),
      [
        ["b", 500],
        ["c", 500],
      ],
    );
    const waited = (heard[0]?.at as number) - 1_000_000 - packetAirtimeMs(SETTINGS, 500);
    assert.ok(waited >= 2 * 24 && waited <= 17 * 25, `waited ${waited} ms for the channel`);
  });
  it("waits for others it can hear", () => {
    const { clock, radios, heard } = world(["a", "b", "c"]);
    for (const radio of radios) for (let i = 0; i < 4; i++) radio.send(new Uint8Array(100));
    clock.run(60_000);
    assert.ok(heard.length >= 20, `${heard.length} of 24 receptions`);
  });
  it("loses overlapping frames of hidden nodes, and captures the much stronger one", () => {
    const hidden = (gap: number) => (from: string, to: string) =>
      from === "c" || to === "c" ? (from === "b" || to === "b" ? 110 + gap : 110) : 200;
    for (const [gap, receptions] of [
      [0, 0],
      [10, 1],
    ] as const) {
      const { clock, radios, heard } = world(["a", "b", "c"], hidden(gap));
      radios[0]?.send(new Uint8Array(250));
      radios[1]?.send(new Uint8Array(250));
      clock.run(5000);
      assert.equal(heard.length, receptions, `gap ${gap} dB`);
    }
  });
  it("does not reach beyond the demodulation floor, nor other settings", () => {
    const { clock, radios, heard } = world(["a", "b", "far"], (_, to) => (to === "far" ? 160 : 100));
    const [a, b, far] = radios as [Radio, Radio, Radio];
    b.settings = { ...SETTINGS, spreadingFactor: 9 };
    a.send(new Uint8Array(50));
    clock.run(5000);
    assert.equal(heard.length, 0);
    assert.equal(far.counters.get("too_weak"), 1);
  });
  it("withholds what the airtime limit forbids", () => {
    const { clock, radios, heard } = world(["a", "b"]);
    const [a] = radios as [Radio];
    a.settings = { ...SETTINGS, airtimeShort: 0.1 };
    // From the first moment of a bin on, so that the short window is this bin and an empty one.
    clock.time = 7500 * 200;
    for (let i = 0; i < 16; i++) a.send(new Uint8Array(100));
    clock.run(7499);
    const airMs = packetAirtimeMs(SETTINGS, 100);
    assert.equal(heard.length, Math.ceil(1500 / airMs));
    clock.run(60_000);
    assert.equal(heard.length, 16);
    assert.equal(a.send(new Uint8Array(1)), true);
  });
  it("refuses more than its queue", () => {
    const { radios } = world(["a"]);
    const [a] = radios as [Radio];
    const taken = Array.from({ length: 20 }, () => a.send(new Uint8Array(10)));
    assert.equal(taken.filter((ok) => ok).length, 16);
  });
});
