/** Bridge commands that show how the two ends of a resource stand while parts and messages pass. */
import {
  FLAG,
  HASHMAP_ENTRIES,
  packAdvertisement,
  unpackAdvertisement,
} from "../../planes/reticulum/stack/advertisement.ts";
import { CONTEXT } from "../../planes/reticulum/stack/packet.ts";
import { INITIAL_WINDOW } from "../../planes/reticulum/stack/resource-window.ts";
import { advertise, makeSegment, partBytesAt, partOf, type Segment } from "../../planes/reticulum/stack/segment.ts";
import { Token } from "../../planes/reticulum/stack/token.ts";
import { fromHex, toHex } from "../../spine/index.ts";
import { linkedAlone } from "./conformance-craft.ts";
import { type Params, random, type Value, type WireCommand } from "./conformance-node.ts";
import { Bench } from "./conformance-resources.ts";

const COLLIDING = "0000417f";

function receiverState(p: Params): Value {
  const fed = Number(p["n"] ?? 2);
  const bench = new Bench();
  const receiver = bench.receiver(bench.segment(3000), 3000);
  const before = receiver.state;
  const again = new Bench();
  const segment = again.segment(3000);
  const other = again.receiver(segment, 3000);
  let taken = 0;
  for (let i = 0; i < fed; i++) if (other.part(partOf(segment, i))) taken++;
  const after = other.state;
  return {
    window: before.window,
    window_min: before.windowMin,
    window_max: before.windowMax,
    total_parts: segment.mapHashes.length,
    consecutive_height_initial: before.next - 1,
    hashmap_height_initial: before.hashmapHeight,
    waiting_for_hmu_initial: before.waitsForHashmap,
    fed: taken,
    received_count: after.received,
    consecutive_height_after: after.next - 1,
    hashmap_height_after: after.hashmapHeight,
  };
}

const hex = (value: number): string => value.toString(16).padStart(8, "0");

function requestContent(p: Params): Value {
  const variant = String(p["variant"]);
  const exhausted = variant === "exhausted";
  const bytes = exhausted ? 60_000 : 9000;
  const bench = new Bench();
  const segment = bench.segment(bytes);
  const receiver = bench.receiver(segment, bytes);
  const edge = exhausted ? HASHMAP_ENTRIES - 1 : variant === "after_parts" ? 2 : 0;
  for (let i = 0; i < edge; i++) {
    while (!receiver.part(partOf(segment, i))) bench.pass();
  }
  // What is missing is asked for again when its time has come.
  if (edge > 0) bench.pass();
  const state = receiver.state;
  const request = bench.requests().at(-1);
  const asked = bench.requests().length;
  if (exhausted) receiver.part(partOf(segment, edge));
  const known = segment.mapHashes.slice(0, state.hashmapHeight);
  return {
    variant,
    window: state.window,
    total_parts: segment.mapHashes.length,
    hashmap_height: state.hashmapHeight,
    consecutive_height: state.next - 1,
    exhausted: request?.lastKnown !== undefined,
    waiting_for_hmu: state.waitsForHashmap,
    requested: (request?.wanted ?? []).map(hex),
    expected: known.slice(state.next, state.next + state.window).map(hex),
    second_request_emitted: bench.requests().length > asked,
  };
}

/** Two transfers on one link. */
function windowInheritance(): Value {
  const bench = new Bench();
  const transfer = (bytes: number): Segment => {
    const segment = bench.segment(bytes);
    bench.hear(CONTEXT.resourceAdvertisement, packAdvertisement(bench.advertisement(segment, bytes)));
    return segment;
  };
  const first = transfer(20_000);
  const asked = () => bench.requests().reduce((most, { wanted }) => Math.max(most, wanted.length), 0);
  for (let i = 0; i < first.mapHashes.length; i++) {
    bench.now += 20;
    bench.hear(CONTEXT.resource, partOf(first, i));
  }
  const completed = bench.received.length === 1;
  const grown = bench.resources.memory.window;
  const before = bench.requests().length;
  transfer(60_000);
  return {
    default_window: INITIAL_WINDOW,
    total_parts_1: first.mapHashes.length,
    completed_1: completed,
    window_after_complete: grown,
    link_last_window: bench.resources.memory.window,
    window2_initial: bench.requests()[before]?.wanted.length ?? asked(),
  };
}

function progress(): Value {
  const bench = new Bench();
  const segment = bench.segment(4000);
  const receiver = bench.receiver(segment, 4000);
  let calls = 0;
  receiver.onProgress = () => calls++;
  const initial = receiver.progress;
  let fed = 0;
  for (let i = 0; i < 3; i++) if (receiver.part(partOf(segment, i))) fed++;
  return {
    total_parts: segment.mapHashes.length,
    fed,
    received_count: receiver.state.received,
    progress_initial: initial,
    progress_mid: receiver.progress,
    progress_callback_calls: calls,
  };
}

function partCount(): Value {
  const bench = new Bench();
  const segment = bench.segment(5000);
  const told = bench.advertisement(segment, 5000);
  const heard = unpackAdvertisement(packAdvertisement({ ...told, parts: told.parts + 5 }), partBytesAt(500));
  return {
    sender_parts: segment.mapHashes.length,
    adv_n_genuine: told.parts,
    adv_n_tampered: told.parts + 5,
    transfer_size: heard.transferBytes,
    receiver_sdu: partBytesAt(500),
    receiver_total_parts: heard.parts,
    derived_expected: Math.ceil(heard.transferBytes / partBytesAt(500)),
  };
}

/** Key, content and first random hash with which two parts near each other get the same map hash; found by search. */
function collision(): Value {
  const token = new Token(Uint8Array.from({ length: 64 }, (_, i) => i));
  const body = Uint8Array.from({ length: 40_000 }, (_, i) => (i * 7) & 255);
  const fresh = random(4);
  const draws = [Uint8Array.of(1, 2, 3, 4), new Uint8Array(16).fill(9), fromHex(COLLIDING), fresh];
  const drawn: Uint8Array[] = [];
  const segment = makeSegment(body, token, 16, (length) => {
    const next = draws.shift() ?? random(length);
    drawn.push(next);
    return next;
  });
  const remapped = drawn.length > 3;
  return {
    remapped,
    random_hash_before: COLLIDING,
    random_hash_after: toHex(segment.randomHash),
    hashmap_changed: remapped && toHex(segment.randomHash) !== COLLIDING,
    num_parts: segment.mapHashes.length,
  };
}

/** What an advertisement of each kind meets on a link whose other end answers requests. */
function advertisementFlags(p: Params): Value {
  const variant = String(p["variant"]);
  const { far, farLink, near, hear } = linkedAlone((destination) =>
    destination.requests.register({ path: "/echo", allow: "all", handle: () => undefined }),
  );
  const all = variant === "plain_accept_all";
  farLink.acceptResource = () => all;
  const requestId = variant.startsWith("plain") ? null : random(16);
  const flags: Readonly<Record<string, number>> = {
    request_autoaccept: FLAG.encrypted | FLAG.request,
    response_no_pending_request: FLAG.encrypted | FLAG.response,
  };
  const segment = makeSegment(random(3000), near.token, partBytesAt(500), random);
  const about = { totalBytes: 3000, originalHash: segment.hash, segment: 1, segments: 1, requestId };
  const told = advertise(segment, { ...about, flags: flags[variant] ?? FLAG.encrypted });
  hear(CONTEXT.resourceAdvertisement, packAdvertisement(told));
  const accepted = farLink.resources.incoming > 0;
  far.act(Date.now(), () => farLink.close());
  return { variant, accepted, strategy: all ? 2 : 0 };
}

export const RESOURCE_STATE: Readonly<Record<string, WireCommand>> = {
  wire_resource_receiver_request_state: receiverState,
  wire_resource_request_next_content: requestContent,
  wire_resource_window_inheritance: windowInheritance,
  wire_resource_progress: progress,
  wire_resource_part_count_derivation: partCount,
  wire_resource_force_collision: collision,
  wire_inject_resource_adv_flags: advertisementFlags,
};
