/**
 * The recovery key as people keep it: shown once by `spine init`, written down, typed back for `spine recovery test` and
 * `spine succeed` (rules 7). 32 bytes and a check of 4, as nine groups of eight hex digits.
 */
import { fromHex, SpineError, toHex, utf8 } from "../../spine/index.ts";
import { sha256Hex } from "../hash.ts";

const SEED_DIGITS = 64;
const CHECK_DIGITS = 8;
const TAG = "spine-recovery-key v1 ";

function checkOf(seed: Uint8Array): string {
  return sha256Hex(utf8(TAG + toHex(seed))).slice(0, CHECK_DIGITS);
}

export function recoveryKeyText(seed: Uint8Array): string {
  return (toHex(seed) + checkOf(seed)).replace(/.{8}(?=.)/g, "$& ");
}

/** Blanks, line breaks and letter case do not matter. Throws `key_invalid`, naming the group to look at where it can. */
export function parseRecoveryKey(text: string): Uint8Array {
  const digits = text.replace(/\s/g, "").toLowerCase();
  if (!/^[0-9a-f]*$/.test(digits) || digits.length !== SEED_DIGITS + CHECK_DIGITS)
    throw new SpineError(
      "key_invalid",
      `a recovery key has nine groups of eight hex digits, not ${digits.length} digits`,
    );
  const seed = fromHex(digits.slice(0, SEED_DIGITS), SEED_DIGITS / 2);
  if (checkOf(seed) !== digits.slice(SEED_DIGITS))
    throw new SpineError("key_invalid", "the recovery key was mistyped: its last group does not fit the others");
  return seed;
}
