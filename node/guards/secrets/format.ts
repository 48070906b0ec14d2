/**
 * What one kind of credential looks like: literals it always holds, its shape, and a check digit where the issuer put one
 * in. The tables `formats-*.ts` are data in this form; `scan.ts` looks for them.
 */
import type { Severity } from "../verdict.ts";

/** True: the check digits are right, so it is no made-up text. False: they are wrong. Undefined: this one has none. */
export type TokenCheck = (token: string) => boolean | undefined;

export interface SecretFormat {
  /** Stable: policies switch formats off by it and receipts name it. */
  readonly name: string;
  /** Who issues it, in words. */
  readonly provider: string;
  /** Lower case; every match holds one of them, `before` characters after its start, or up to `reach` token characters. */
  readonly anchors: readonly string[];
  /** Sticky and of bounded length. Group 1 is the secret part, when a part of the match is not. */
  readonly shape: RegExp;
  readonly before: number;
  readonly reach: number;
  /** No letter, digit, `_` or `-` may stand in front: for prefixes that end ordinary words. */
  readonly edge: boolean;
  readonly severity: Severity;
  /** Shannon bits per character that the secret part has at least; below, it counts as made up. */
  readonly minBits: number;
  readonly check?: TokenCheck;
  /** Severity when group 1 took no part, from what stands before and after the match. Without it, the whole is the secret. */
  readonly bare?: BareJudge;
}

export type BareJudge = (before: string, after: string) => Severity | undefined;

interface Options {
  readonly before?: number;
  readonly reach?: number;
  readonly edge?: boolean;
  readonly severity?: Severity;
  readonly minBits?: number;
  readonly check?: TokenCheck;
  readonly bare?: BareJudge;
  /** Upper and lower case are alike. */
  readonly fold?: boolean;
}

/** `anchors` are separated by blanks; `source` is an expression without flags. */
export function format(
  name: string,
  provider: string,
  anchors: string,
  source: string,
  options: Options = {},
): SecretFormat {
  const {
    before = 0,
    reach = 0,
    edge = false,
    severity = "critical",
    minBits = 1.2,
    check,
    bare,
    fold = false,
  } = options;
  let compiled: RegExp | undefined;
  return {
    name,
    provider,
    anchors: anchors.toLowerCase().split(" "),
    // Most programs that load the tables never look for a secret.
    get shape() {
      compiled ??= new RegExp(source, fold ? "iy" : "y");
      return compiled;
    },
    before,
    reach,
    edge,
    severity,
    minBits,
    ...(check !== undefined && { check }),
    ...(bare !== undefined && { bare }),
  };
}
