/**
 * The fact `transport_binding.v1` for WireGuard: which transport key an issuer uses, and where in the enclave and on the
 * internet it is (rules 2). What it says is believed of its signer only, and only for issuers on the operator's list.
 */
import {
  checkFact,
  type Envelope,
  type EnvelopeHash,
  factOf,
  type Issuer,
  type JsonObject,
  SpineError,
} from "../../spine/index.ts";
import { formatAddress, formatEndpoint, parseAddress, parseEndpoint } from "./ip.ts";

export const BINDING_SCHEMA = "aegis.spine.fact.transport_binding.v1";
const TRANSPORT = "wireguard";
export const MAX_ENDPOINTS = 4;
const KEY = /^[0-9a-f]{64}$/;

/** What an issuer announced. */
export interface BindingFields {
  /** Lower-case hex of 32 bytes: X25519. */
  readonly publicKey: string;
  /** The key it is about to change to. */
  readonly nextKey: string | null;
  /** Its own address inside the enclave, one spelling. */
  readonly address: string;
  /** TCP, on that address. */
  readonly port: number;
  /** Where its interface can be reached, HOST:PORT with numeric hosts; best first; none = it calls others. */
  readonly endpoints: readonly string[];
}

export interface Binding extends BindingFields {
  readonly issuer: Issuer;
  /** Of the envelope: a later one replaces an earlier one, whatever the order of arrival. */
  readonly seq: number;
  readonly hash: EnvelopeHash;
}

export function bindingFact(fields: BindingFields, factId: string): JsonObject {
  const { publicKey, nextKey, address, port, endpoints } = fields;
  return {
    schema: BINDING_SCHEMA,
    fact_id: factId,
    transport: TRANSPORT,
    public_key: publicKey,
    ...(nextKey === null ? {} : { next_key: nextKey }),
    address,
    port,
    endpoints,
  };
}

export function sameFields(a: BindingFields, b: BindingFields): boolean {
  const text = ({ publicKey, nextKey, address, port, endpoints }: BindingFields): string =>
    JSON.stringify([publicKey, nextKey, address, port, endpoints]);
  return text(a) === text(b);
}

function keyField(value: unknown, name: string): string {
  if (typeof value !== "string" || !KEY.test(value) || /^0+$/.test(value)) invalid(`${name} is not a key in hex`);
  return value as string;
}
function invalid(what: string): never {
  throw new SpineError("fact_invalid", `transport binding: ${what}`);
}

/** The binding an envelope carries, or undefined for other facts and transports. Throws `fact_invalid`. Its signature is the caller's concern. */
export function readBinding(envelope: Envelope): Binding | undefined {
  if (envelope.factSchema !== BINDING_SCHEMA) return undefined;
  const fact = factOf(envelope) as JsonObject;
  checkFact(fact);
  if (fact["transport"] !== TRANSPORT) return undefined;
  const { address, port, endpoints, next_key: next } = fact as Readonly<Record<string, unknown>>;
  if (typeof address !== "string" || spelling(address) !== address)
    invalid("address is not an IP address in its one spelling");
  if (typeof port !== "number" || port < 1) invalid("port is missing");
  if (!Array.isArray(endpoints) || endpoints.length > MAX_ENDPOINTS)
    invalid(`endpoints is no list of at most ${MAX_ENDPOINTS}`);
  for (const text of endpoints as readonly unknown[]) {
    const endpoint = parseEndpoint(String(text));
    if (endpoint === undefined || formatEndpoint(endpoint) !== text)
      invalid("an endpoint is not ADDRESS:PORT in its one spelling");
  }
  const publicKey = keyField(fact["public_key"], "public_key");
  const nextKey = next === undefined || next === null ? null : keyField(next, "next_key");
  if (nextKey === publicKey) invalid("next_key is public_key");
  return {
    issuer: envelope.issuer,
    seq: envelope.seq,
    hash: envelope.hash,
    publicKey,
    nextKey,
    address: address as string,
    port: port as number,
    endpoints: endpoints as readonly string[],
  };
}

function spelling(text: string): string | undefined {
  try {
    return formatAddress(parseAddress(text));
  } catch {
    return undefined;
  }
}
