/** What LXMF destinations announce about themselves (spec/reticulum.md section 21.5). Used by the router and propagation. */
import { utf8, utf8Text } from "../../../spine/index.ts";
import { type Packable, pack, packedNumber, unpack } from "../stack/msgpack.ts";

const MAX_STAMP_COST = 254;
const COMPRESSION = 0;
const NAME = 1;

export interface DeliveryAppData {
  readonly displayName: string | undefined;
  /** Bits of work wanted, 1 to 254; undefined = none. */
  readonly stampCost: number | undefined;
  readonly compression: boolean;
}

export function deliveryAppData(data: { readonly displayName?: string; readonly stampCost?: number }): Uint8Array {
  const { displayName, stampCost } = data;
  return pack([displayName === undefined ? null : utf8(displayName), stampCost ?? null, [COMPRESSION]]);
}

function readableText(value: Packable | undefined): string | undefined {
  if (typeof value === "string") return value;
  if (!(value instanceof Uint8Array)) return undefined;
  try {
    return utf8Text(value);
  } catch {
    return undefined;
  }
}

function list(appData: Uint8Array): readonly Packable[] | undefined {
  try {
    const value = unpack(appData);
    return Array.isArray(value) ? (value as readonly Packable[]) : undefined;
  } catch {
    return undefined;
  }
}

/** Never throws: what cannot be read says nothing. Older peers announce the bare name. */
export function readDeliveryAppData(appData: Uint8Array): DeliveryAppData {
  const first = appData[0] ?? 0;
  const isList = (first >= 0x90 && first <= 0x9f) || first === 0xdc;
  if (!isList) {
    const name = appData.length === 0 ? undefined : readableText(appData);
    return { displayName: name, stampCost: undefined, compression: true };
  }
  const [name, cost, features] = list(appData) ?? [];
  const known = typeof cost === "number" && cost >= 1 && cost <= MAX_STAMP_COST;
  return {
    displayName: readableText(name),
    stampCost: known ? cost : undefined,
    compression: features === undefined || (Array.isArray(features) && features.includes(COMPRESSION)),
  };
}

export interface PropagationAppData {
  /** Unix seconds of the node's clock. */
  readonly at: number;
  readonly active: boolean;
  readonly transferLimitKb: number;
  readonly syncLimitKb: number;
  readonly stampCost: number;
  /** So many bits less are taken as well. */
  readonly stampFlexibility: number;
  readonly peeringCost: number;
  readonly name: string | undefined;
}

export function propagationAppData(data: PropagationAppData): Uint8Array {
  const metadata = new Map<Packable, Packable>();
  if (data.name !== undefined) metadata.set(NAME, utf8(data.name));
  return pack([
    false,
    Math.floor(data.at),
    data.active,
    data.transferLimitKb,
    data.syncLimitKb,
    [data.stampCost, data.stampFlexibility, data.peeringCost],
    metadata,
  ]);
}

/** Undefined for anything that is not a whole announcement. */
export function readPropagationAppData(appData: Uint8Array): PropagationAppData | undefined {
  const items = list(appData) ?? [];
  const [, at, active, transfer, sync, costs, metadata] = items;
  const time = packedNumber(at);
  const transferLimitKb = packedNumber(transfer);
  const syncLimitKb = packedNumber(sync);
  const [stampCost, stampFlexibility, peeringCost] = Array.isArray(costs) ? (costs as readonly Packable[]) : [];
  if (
    items.length < 7 ||
    time === undefined ||
    typeof active !== "boolean" ||
    transferLimitKb === undefined ||
    syncLimitKb === undefined ||
    typeof stampCost !== "number" ||
    typeof stampFlexibility !== "number" ||
    typeof peeringCost !== "number" ||
    !(metadata instanceof Map)
  ) {
    return undefined;
  }
  const name = readableText(metadata.get(NAME));
  return { at: time, active, transferLimitKb, syncLimitKb, stampCost, stampFlexibility, peeringCost, name };
}
