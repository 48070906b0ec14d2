/** `spine radio airtime`: how long packets are on the air, and how many fit the hour (spec/radio-field-notes.md section 3). */
import { reticulum } from "../../planes/index.ts";
import { announcePeriodMs, dutyCycleAt, REVOCATION_RESERVE, SpineError } from "../../spine/index.ts";
import type { Verb, VerbContext } from "./verb.ts";

const HOUR_MS = 3_600_000;
const MAX_BYTES = 500;
/** An announce of a node, and the most urgent message there is, on the air. */
const ANNOUNCE_BYTES = 290;
const REVOCATION_BYTES = 355;

function number(context: VerbContext, name: string, fallback: number, least: number, most: number): number {
  const text = context.text(name);
  const value = text === undefined ? fallback : Number(text);
  if (!(value >= least && value <= most)) throw new SpineError("usage", `--${name}: expected ${least} to ${most}`);
  return value;
}

function whole(context: VerbContext, name: string, fallback: number, least: number, most: number): number {
  const value = number(context, name, fallback, least, most);
  if (!Number.isInteger(value)) throw new SpineError("usage", `--${name}: expected a whole number`);
  return value;
}

/** From --duty in percent, or from the band that --frequency lies in. */
function dutyOf(context: VerbContext): number {
  if (context.text("duty") !== undefined) return number(context, "duty", 100, 0.001, 100) / 100;
  const frequency = context.text("frequency");
  return frequency === undefined ? 1 : dutyCycleAt(number(context, "frequency", 0, 1e6, 1e10));
}

const round = (value: number, digits = 1): number => Number(value.toFixed(digits));

export const radioAirtime: Verb = {
  usage: "radio airtime [--sf N] [--bw HZ] [--cr N] [--bytes N] [--duty PERCENT | --frequency HZ]",
  about:
    "Time on air of a Reticulum packet as an RNode sends it, and what the duty cycle leaves for an hour. A tenth of each\n" +
    "hour is kept for revocations. Limits differ by country: know yours.",
  examples: [
    "spine radio airtime --sf 8 --bw 125000 --cr 5 --bytes 355",
    "spine radio airtime --sf 10 --bytes 200 --frequency 869525000 --json",
  ],
  options: {
    sf: { type: "string", value: "N", help: "Spreading factor, 5 to 12; 8 if omitted." },
    bw: { type: "string", value: "HZ", help: "Bandwidth; 125000 if omitted." },
    cr: { type: "string", value: "N", help: "Denominator of the coding rate, 5 to 8; 5 if omitted." },
    bytes: { type: "string", value: "N", help: `Bytes of the packet on the air; ${REVOCATION_BYTES} if omitted.` },
    duty: { type: "string", value: "PERCENT", help: "Share of each hour that may be used." },
    frequency: { type: "string", value: "HZ", help: "Take the European duty cycle of this frequency's band." },
  },
  operands: { least: 0, most: 0 },
  async run(context) {
    const modulation = {
      spreadingFactor: whole(context, "sf", 8, 5, 12),
      bandwidthHz: number(context, "bw", 125_000, 7_800, 1_625_000),
      codingRate: whole(context, "cr", 5, 5, 8),
    };
    const bytes = whole(context, "bytes", REVOCATION_BYTES, 1, MAX_BYTES);
    const duty = dutyOf(context);
    const airMs = reticulum.packetAirtimeMs(modulation, bytes);
    const budgetMs = HOUR_MS * duty;
    const periodMs = announcePeriodMs(reticulum.packetAirtimeMs(modulation, ANNOUNCE_BYTES), duty);
    const result = {
      bytes,
      airtime_ms: round(airMs, 3),
      bitrate: Math.round(reticulum.nominalBitrate(modulation)),
      net_bitrate: Math.round((bytes * 8000) / airMs),
      duty_percent: round(duty * 100, 3),
      airtime_ms_per_hour: Math.round(budgetMs),
      packets_per_hour: Math.floor((budgetMs * (1 - REVOCATION_RESERVE)) / airMs),
      packets_per_hour_with_reserve: Math.floor(budgetMs / airMs),
      announce_every_seconds: Math.round(periodMs / 1000),
    };
    if (context.json) await context.out.line(result);
    else
      await context.out.write(
        `${bytes} bytes: ${result.airtime_ms} ms on air (${result.net_bitrate} bit/s of ${result.bitrate})\n` +
          `${result.duty_percent} % of an hour is ${round(budgetMs / 1000)} s: ${result.packets_per_hour} such packets, ` +
          `${result.packets_per_hour_with_reserve} with what is kept for revocations\n` +
          `announce every ${result.announce_every_seconds} s at most\n`,
      );
    return 0;
  },
};
