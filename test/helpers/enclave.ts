/** WireGuard planes without a network: an interface in memory, loopback addresses for the tunnel, cards signed on the spot. */
import { randomBytes } from "node:crypto";
import { createSigner } from "../../node/signer.ts";
import { wireguard } from "../../planes/index.ts";
import { draftEnvelope, type Envelope, type JsonObject, sealEnvelope, toHex } from "../../spine/index.ts";
import { nativeSha256Hex, nativeVerify } from "./sim-ports.ts";

let host = 1;

export interface EnclaveNode {
  readonly plane: wireguard.WireguardPlane;
  readonly device: wireguard.MemoryDevice;
  readonly issuer: string;
  readonly card: string;
  readonly fields: wireguard.BindingFields;
  /** A further binding of this node, signed at `seq`. */
  bind(seq: number, fields?: Partial<wireguard.BindingFields>): Envelope;
}

export type Signed = Pick<EnclaveNode, "issuer" | "bind">;

/** An issuer that signs bindings. */
export function bindingSigner(fields: wireguard.BindingFields): Signed {
  const signer = createSigner(new Uint8Array(randomBytes(32)));
  const bind = (seq: number, changes: Partial<wireguard.BindingFields> = {}): Envelope => {
    const fact = wireguard.bindingFact({ ...fields, ...changes }, randomBytes(16).toString("hex")) as JsonObject;
    const prev = seq === 1 ? null : `0x${"ab".repeat(32)}`;
    const draft = draftEnvelope(
      { issuer: signer.issuer, seq, prev, issuedAt: "2026-01-01T00:00:00Z", fact },
      nativeSha256Hex,
    );
    return sealEnvelope(draft, new Uint8Array(signer.sign(draft.signingBytes)));
  };
  return { issuer: signer.issuer, bind };
}

/** Each has a loopback address of its own, in place of one inside a tunnel. */
export function enclaveNode(options: Partial<wireguard.WireguardOptions> = {}): EnclaveNode {
  const privateKey = new Uint8Array(randomBytes(32));
  const number = host++;
  const address = `127.77.${number >> 8}.${number & 255}`;
  const port = 20_000 + (process.pid % 20_000);
  const fields: wireguard.BindingFields = {
    publicKey: toHex(wireguard.publicKeyOf(privateKey)),
    nextKey: null,
    address,
    port,
    endpoints: [],
  };
  const { issuer, bind } = bindingSigner(fields);
  const card = wireguard.writeCard(bind(3), nativeSha256Hex);
  const device = (options.device as wireguard.MemoryDevice | undefined) ?? new wireguard.MemoryDevice();
  const plane = new wireguard.WireguardPlane({
    privateKey,
    network: "127.77.0.0/16",
    address,
    port,
    listenPort: 1,
    mtuBytes: 1_420,
    keepaliveSeconds: 25,
    issuer,
    card: () => card,
    verify: nativeVerify,
    sha256Hex: nativeSha256Hex,
    ...options,
    device,
    limits: { redialMinMs: 50, redialMaxMs: 500, pollMs: 100, retryMinMs: 20, ...options.limits },
  });
  return { plane, device, issuer, card, fields, bind };
}
