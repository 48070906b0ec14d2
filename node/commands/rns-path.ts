/** `spine rns path`: the ways this node knows, asking for one, forgetting one. */
import { SpineError } from "../../spine/index.ts";
import { MAX_PROBE_MS, type RnsPath } from "../reticulum/service.ts";
import { openRns } from "../reticulum/session.ts";
import { placeOf, RNS_OPTIONS } from "./rns.ts";
import type { Verb } from "./verb.ts";

function readable({ destination, hops, via, interface: name, expires_seconds, responsive }: RnsPath): string {
  const days = expires_seconds >= 172_800 ? `${Math.round(expires_seconds / 86_400)} d` : `${expires_seconds} s`;
  const way = hops === 1 ? "directly" : `via ${via}`;
  return `${destination}  ${hops} ${hops === 1 ? "hop" : "hops"} ${way} on ${name}, expires in ${days}${responsive ? "" : ", unresponsive"}`;
}

export const rnsPath: Verb = {
  usage: "rns path [--drop] [--timeout SECONDS] [DESTINATION]",
  about:
    "Prints the known paths, nearest first; with a destination the path to it, asked of the network when it is not known.\n" +
    "Exit code 1 when there is none.",
  examples: ["spine rns path", "spine rns path 4faf1b2e0a077e6a9d92fa051f256038", "spine rns path --drop DESTINATION"],
  options: {
    ...RNS_OPTIONS,
    drop: { type: "boolean", help: "Forget the path." },
    timeout: { type: "string", value: "SECONDS", help: "Wait this long for an answer (15)." },
  },
  operands: { least: 0, most: 1 },
  async run(context) {
    const { out, json, note, signal } = context;
    const [destination] = context.operands;
    const drop = context.flag("drop");
    const seconds = Number(context.text("timeout") ?? "15");
    if (!(seconds >= 0.1 && seconds * 1000 <= MAX_PROBE_MS))
      throw new SpineError("usage", "--timeout: 0.1 to 300 seconds");
    if (drop && destination === undefined) throw new SpineError("usage", "--drop needs a destination");
    await using node = await openRns(placeOf(context), note);
    if (destination === undefined) {
      for (const path of await node.paths()) await out.line(json ? path : readable(path));
      return 0;
    }
    if (drop) {
      const dropped = await node.dropPath(destination);
      await out.line(json ? { dropped } : dropped ? "forgotten" : "no path was known");
      return dropped ? 0 : 1;
    }
    const path = await node.findPath({ destination, timeoutMs: Math.round(seconds * 1000), signal });
    await out.line(json ? path : readable(path));
    return 0;
  },
};
