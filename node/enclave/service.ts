/** What the API and the verbs see of the enclave. Shapes with snake_case fields are the JSON that users see. */
import type { ErrorCode, Issuer } from "../../spine/index.ts";

/** `GET /v1/enclave` and `spine enclave status --json`. */
export interface EnclaveReport {
  readonly interface: string;
  readonly owned: boolean;
  readonly up: boolean;
  readonly network: string;
  readonly address: string;
  readonly mtu: number;
  /** Lower-case hex; null while an adopted interface is down. */
  readonly public_key: string | null;
  /** The key that takes over next, and when (RFC 3339); null unless a change is under way. */
  readonly next_key: string | null;
  readonly next_key_at: string | null;
  /** This node's own card, for `spine peers add` elsewhere. */
  readonly card: string | null;
  readonly failure: { readonly code: ErrorCode; readonly message: string; readonly hint: string } | null;
  /** Listed and not let in. */
  readonly absent: readonly { readonly issuer: Issuer; readonly reason: string }[];
}

export interface EnclaveService {
  report(): EnclaveReport;
  /** Begins a change of the transport key; resolved = peers are being told. Throws `rate_limited` while one is under way. */
  rotate(): Promise<EnclaveReport>;
}
