/** Bridge commands that make destinations, ours and others', and use them as an application does. */
import { openAnnounce } from "../../planes/reticulum/stack/announce.ts";
import { Destination, RemoteDestination } from "../../planes/reticulum/stack/destination.ts";
import { Endpoint } from "../../planes/reticulum/stack/endpoint.ts";
import { Identity } from "../../planes/reticulum/stack/identity.ts";
import type { ProofStrategy } from "../../planes/reticulum/stack/link-setup.ts";
import { dottedName, GROUP, type SINGLE, splitName } from "../../planes/reticulum/stack/name.ts";
import { NETWORK_MTU, parsePacket } from "../../planes/reticulum/stack/packet.ts";
import { RatchetRing } from "../../planes/reticulum/stack/ratchet.ts";
import type { RequestHandler, RequestPolicy } from "../../planes/reticulum/stack/request.ts";
import { Token } from "../../planes/reticulum/stack/token.ts";
import { toHex } from "../../spine/index.ts";
import { aspects, bytes, type Params, random, type Value } from "./conformance-node.ts";
import { TYPES } from "./conformance-packets.ts";

type Made = Destination | RemoteDestination;

/** The suite's numbers for what has names here. */
const DIRECTIONS: Readonly<Record<Made["direction"], number>> = { in: 0x11, out: 0x12 };
const STRATEGIES: readonly (readonly [number, ProofStrategy])[] = [
  [0x21, "none"],
  [0x22, () => true],
  [0x23, "all"],
];
const POLICIES: Readonly<Record<number, RequestPolicy>> = { 0: "none", 1: "all", 2: new Set<string>() };

function identityOf(p: Params): Identity | undefined {
  const secret = bytes(p, "identity_private_key");
  return secret.length === 0 ? undefined : Identity.fromPrivateKey(secret);
}

/** What the suite asks for and does not exist is given to the library as it is: to refuse it is the library's part. */
function own(p: Params, more: { readonly ratchets?: (identity: Identity) => RatchetRing } = {}): Destination {
  const named = TYPES[String(p["type"] ?? "single")];
  const type = named ?? (p["type"] as unknown as typeof SINGLE);
  const identity = identityOf(p) ?? (more.ratchets === undefined ? undefined : Identity.create(random));
  return new Destination({
    type,
    appName: String(p["app_name"]),
    aspects: aspects(p),
    random,
    ...(identity === undefined ? {} : { identity }),
    ...(type === GROUP && p["create_keys"] !== false ? { groupKey: Token.generateKey(random) } : {}),
    ...(identity === undefined || more.ratchets === undefined ? {} : { ratchets: more.ratchets(identity) }),
  });
}

function made(p: Params): Made {
  if (p["direction"] === "in" || p["direction"] === undefined) return own(p);
  if (p["direction"] !== "out") throw new Error(`no destination of direction ${String(p["direction"])}`);
  return new RemoteDestination(dottedName(String(p["app_name"]), aspects(p)), identityOf(p) as Identity);
}

function strategyNumber(destination: Destination): Value {
  const { proofs } = destination;
  return (
    STRATEGIES.find(([, one]) => (typeof proofs === "function" ? typeof one === "function" : one === proofs))?.[0] ??
    null
  );
}

function construct(p: Params): Value {
  const destination = made(p);
  const given = identityOf(p);
  const told =
    destination.identity === undefined || given !== undefined
      ? {}
      : { auto_identity_hexhash: destination.identity.hex };
  return {
    destination_hash: destination.hex,
    name: destination.fullName,
    name_hash: toHex(destination.nameHash),
    type: destination.type,
    direction: DIRECTIONS[destination.direction],
    proof_strategy: destination instanceof Destination ? strategyNumber(destination) : null,
    ...told,
  };
}

/** The announce that the endpoint makes, on a wire that only records. */
function announced(destination: Made, appData?: Uint8Array): Uint8Array {
  const endpoint = new Endpoint({ random });
  endpoint.attach({ id: "wire", bitrate: 1e6, hardwareMtu: NETWORK_MTU, signalsMtu: false });
  const [sent] = endpoint.act(Date.now(), () =>
    endpoint.announce(destination as Destination, appData === undefined ? {} : { appData }),
  );
  if (sent === undefined) throw new Error("nothing was announced");
  return sent.frame;
}

function defaultAppData(p: Params): Value {
  const destination = own(p);
  const value = bytes(p, "default_value");
  if (p["default_kind"] === "bytes") destination.appData = value;
  if (p["default_kind"] === "callable") destination.appData = () => value;
  const override = p["override_app_data"] === undefined ? undefined : bytes(p, "override_app_data");
  const { appData } = openAnnounce(parsePacket(announced(destination, override)));
  return { app_data: toHex(appData), default_app_data_set: destination.appData !== undefined };
}

function rotate(p: Params): Value {
  const enabled = p["enable"] === true;
  const destination = own(p, enabled ? { ratchets: (identity) => new RatchetRing(identity) } : {});
  const before = destination.ratchets?.keys.length;
  (destination.ratchets as RatchetRing).rotate(Date.now(), random);
  return { rotated: destination.ratchets?.keys.length !== before, has_ratchets: destination.ratchets !== undefined };
}

function setStrategy(p: Params): Value {
  const destination = own(p);
  const wanted = Number(p["strategy_value"]);
  destination.proofs = STRATEGIES.find(([number]) => number === wanted)?.[1] ?? (wanted as unknown as ProofStrategy);
  return { set: true, proof_strategy: strategyNumber(destination) };
}

function registerHandler(p: Params): Value {
  const { requests } = own(p);
  const allow = Number(p["allow"] ?? 1);
  const handler = {
    path: String(p["path"] ?? "/test/echo"),
    allow: POLICIES[allow] ?? allow,
    handle: p["generator_valid"] === false ? undefined : (arrival: { data: Value }) => arrival.data,
  };
  requests.register(handler as unknown as RequestHandler);
  return { registered: true, handler_count: requests.size };
}

function groupEncrypt(p: Params): Value {
  const group = own({ ...p, type: "group", create_keys: p["create_keys"] === true });
  const ciphertext = group.encrypt(bytes(p, "plaintext"), random);
  const back = group.decrypt(ciphertext);
  return {
    ciphertext: toHex(ciphertext),
    roundtrip: back === undefined ? null : toHex(back),
    has_key: back !== undefined,
  };
}

export const DESTINATIONS: Readonly<Record<string, (params: Params) => Value>> = {
  destination_construct: construct,
  destination_group_encrypt: groupEncrypt,
  destination_announce_attempt: (p) => {
    const destination = made(p);
    return { ok: announced(destination).length > 0, destination_hash: destination.hex };
  },
  destination_default_app_data: defaultAppData,
  destination_rotate_ratchets: rotate,
  destination_set_proof_strategy_raw: setStrategy,
  destination_register_request_handler_validate: registerHandler,
  destination_expand_name: (p) => {
    const name = dottedName(String(p["app_name"]), aspects(p));
    const identity = identityOf(p);
    return { name: identity === undefined ? name : new RemoteDestination(name, identity).fullName };
  },
  app_and_aspects_from_name: (p) => {
    const { appName, aspects: rest } = splitName(String(p["full_name"]));
    return { app_name: appName, aspects: [...rest] };
  },
};
