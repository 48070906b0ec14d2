/** What the core asks of the outside world. Time, keys, randomness and hashing are inputs; drivers provide them. */

/** Milliseconds since the Unix epoch. */
export type Millis = number;
/** `aegis:ed25519:` and 64 lower-case hex digits (spec/spine.md section 3). */
export type Issuer = string;
/** `0x` and 64 lower-case hex digits: SHA-256 of an envelope's signing bytes. */
export type EnvelopeHash = string;

export interface Clock {
  now(): Millis;
  /** Runs `task` once at or after `at`; returns a function that cancels it. */
  schedule(at: Millis, task: () => void): () => void;
}

/** One issuer's key. Signs only bytes whose layout stands in `tags.ts` or that were drafted by `envelope.ts`. */
export interface Signer {
  readonly issuer: Issuer;
  /** 64 bytes, Ed25519 over `message` itself (RFC 8032). */
  sign(message: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

/** A signature to check. Strict by rule: small-order and non-canonical keys and small-order R are refused first. */
export interface Claim {
  /** 32 bytes. */
  readonly key: Uint8Array;
  readonly message: Uint8Array;
  /** 64 bytes. */
  readonly signature: Uint8Array;
}

export interface Verifier {
  /** One verdict per claim, in order. Never rejects because of a claim's content. */
  verify(batch: readonly Claim[]): Promise<readonly boolean[]>;
}

/** SHA-256 as 64 lower-case hex digits without prefix. Native in the daemon, @noble/hashes elsewhere. */
export type Sha256Hex = (bytes: Uint8Array) => string;
/** SHA-256 as 32 fresh bytes; must not keep its argument. Same providers as `Sha256Hex`. */
export type Sha256 = (bytes: Uint8Array) => Uint8Array;

/** `length` random bytes. */
export type Random = (length: number) => Uint8Array;
