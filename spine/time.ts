/**
 * RFC 3339 times without `Date`: what upstream's builder accepts as `issued_at`, and the one form this node writes.
 * spec/spine.md section 4.
 */
import { SpineError } from "./errors.ts";
import type { Millis } from "./ports.ts";

/** 9999-12-31T23:59:59Z, the last time with a four-digit year, seconds since the Unix epoch. */
export const MAX_TIME_SECONDS = 253_402_300_799;

/** What may follow `YYYY-MM-DDThh:mm:ss`. */
const FRACTION_AND_ZONE = /^(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;
const MONTH_DAYS: readonly number[] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

function isLeapYear(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
}

/** Days from 1970-01-01 in the proleptic Gregorian calendar; the year is counted from March so that leap days end it. */
function dayNumber(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const monthFromMarch = (month + 9) % 12;
  const yearDays =
    y * 365 +
    Math.floor(y / 4) -
    Math.floor(y / 100) +
    Math.floor(y / 400) +
    Math.floor((monthFromMarch * 153 + 2) / 5);
  return yearDays + day - 1 - 719_468;
}

/** The two decimal digits at `at`, or −1. */
function pair(text: string, at: number): number {
  const tens = text.charCodeAt(at) - 48;
  const ones = text.charCodeAt(at + 1) - 48;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : -1;
}

function hasSeparators(text: string): boolean {
  const between: string = text[10] ?? "";
  return (
    (between === "T" || between === "t" || between === " ") &&
    text[4] === "-" &&
    text[7] === "-" &&
    text[13] === ":" &&
    text[16] === ":"
  );
}

/** Milliseconds that fraction and zone add to a time read as UTC, or undefined. */
function fractionAndOffset(rest: string): Millis | undefined {
  if (rest === "Z") return 0;
  const match = FRACTION_AND_ZONE.exec(rest);
  if (match === null) return undefined;
  const [, fraction, sign, hours, minutes] = match;
  const millis = fraction === undefined ? 0 : Number(fraction.slice(0, 3).padEnd(3, "0"));
  if (sign === undefined) return millis;
  if (Number(hours) > 23 || Number(minutes) > 59) return undefined;
  const offset = (Number(hours) * 60 + Number(minutes)) * 60_000;
  return sign === "+" ? millis - offset : millis + offset;
}

/**
 * Milliseconds since the epoch, or undefined unless `text` is an RFC 3339 time: any offset, fraction of any length
 * (below a millisecond it is dropped), `t`/`z`, a space for `T`, leap second `:60` (which counts as the next second).
 */
export function parseTime(text: string): Millis | undefined {
  if (!hasSeparators(text)) return undefined;
  const century = pair(text, 0);
  const yearOfCentury = pair(text, 2);
  const month = pair(text, 5);
  const day = pair(text, 8);
  const hour = pair(text, 11);
  const minute = pair(text, 14);
  const second = pair(text, 17);
  if (century < 0 || yearOfCentury < 0 || month < 1 || month > 12 || day < 1) return undefined;
  const year = century * 100 + yearOfCentury;
  const monthDays = month === 2 && isLeapYear(year) ? 29 : (MONTH_DAYS[month - 1] as number);
  if (day > monthDays || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
    return undefined;
  const extra: Millis | undefined = fractionAndOffset(text.slice(19));
  if (extra === undefined) return undefined;
  return (((dayNumber(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1000 + extra;
}

function digits(value: number, length: number): string {
  return String(value).padStart(length, "0");
}

/** `YYYY-MM-DDThh:mm:ssZ` of whole seconds since the epoch, 0 to MAX_TIME_SECONDS; throws `envelope_time` otherwise. */
export function formatTime(seconds: number): string {
  if (!Number.isInteger(seconds) || seconds < 0 || seconds > MAX_TIME_SECONDS)
    throw new SpineError("envelope_time", `${seconds} is no time between 1970 and 9999 in whole seconds`);
  const days = Math.floor(seconds / 86_400);
  const rest = seconds - days * 86_400;
  // Civil date from a day count, in 400-year eras that start on 1 March 0000.
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1;
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  const hour = Math.floor(rest / 3600);
  const minute = Math.floor(rest / 60) % 60;
  return `${digits(year, 4)}-${digits(month, 2)}-${digits(day, 2)}T${digits(hour, 2)}:${digits(minute, 2)}:${digits(rest % 60, 2)}Z`;
}
