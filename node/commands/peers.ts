/** `spine peers …`: the peerbook. Through the daemon when one runs, else on `peers.json` alone. */
import { readFile } from "node:fs/promises";
import { asSpineError, SpineError } from "../../spine/index.ts";
import { enclaveCard } from "../enclave/session.ts";
import { errorCodeOf, writeFileAtomic } from "../files.ts";
import type { PeerTunnel } from "../handle.ts";
import { cardIssuer, changePeerbook, checkAddress, parsePeerbook, peerbookText, readPeerbook } from "../peerbook.ts";
import { qrLines } from "../qr-text.ts";
import { connectDaemon } from "../session.ts";
import type { Verb, VerbContext } from "./verb.ts";

/** Configured addresses, known to the daemon or in the file. */
async function configuredAddresses({ dir }: VerbContext): Promise<readonly string[]> {
  return readPeerbook(dir.peerbook);
}

/** Of a list for everybody the own card is left out. Returns what was added. */
async function addAll({ dir }: VerbContext, addresses: readonly string[]): Promise<readonly string[]> {
  await using daemon = await connectDaemon(dir);
  const others =
    addresses.length === 1 ? addresses : addresses.filter((one) => cardIssuer(one) !== daemon?.issuer || !daemon);
  if (daemon) for (const address of others) await daemon.addPeer(address);
  else await changePeerbook(dir.peerbook, { add: others });
  return others;
}

export const peersList: Verb = {
  usage: "peers list",
  about: "Prints the peers known, one line each: connected or not, address, proven issuer.",
  examples: ["spine peers list --json"],
  operands: { least: 0, most: 0 },
  async run(context) {
    const { dir, out, json } = context;
    await using daemon = await connectDaemon(dir);
    const peers = daemon
      ? await daemon.peers()
      : (await configuredAddresses(context)).map((address) => {
          const fields = { id: address, plane: "", addresses: [address], issuer: null };
          return { ...fields, configured: true, connected: false, tunnel: undefined };
        });
    for (const peer of peers) {
      const state = peer.connected ? "connected" : "away";
      const text = `${state.padEnd(9)}  ${peer.addresses[0] ?? peer.id}  ${peer.issuer ?? (peer.plane === "wireguard" ? peer.id : "-")}`;
      await out.line(json ? peer : text + (peer.tunnel === undefined ? "" : tunnelText(peer.tunnel)));
    }
    return 0;
  },
};

function ago(seconds: number | null): string {
  if (seconds === null) return "never heard";
  return seconds < 120 ? `heard ${seconds} s ago` : `heard ${Math.round(seconds / 60)} min ago`;
}

/** The tunnel of an enclave peer, for people. */
function tunnelText({
  absence,
  handshake_age_seconds: age,
  endpoint,
  received_bytes: rx,
  sent_bytes: tx,
}: PeerTunnel): string {
  if (absence !== null) return `  not let in: ${absence}`;
  return `  ${ago(age)}  from ${endpoint ?? "-"}  in ${rx} out ${tx} bytes`;
}

/** What others add to reach this node: its enclave card, else its first address. */
async function ownAddress({ dir }: VerbContext): Promise<string> {
  const card = await enclaveCard(dir);
  if (typeof card === "string") return card;
  if (card === null) throw new SpineError("api_unavailable", "the node's transport binding is not published yet");
  await using daemon = await connectDaemon(dir);
  const addresses = (await daemon?.status())?.planes.flatMap((plane) => plane.addresses) ?? [];
  const address = addresses.find((one) => !/^\/(ip4\/127\.|ip6\/::1\/)/.test(one)) ?? addresses[0];
  if (address === undefined) throw new SpineError("peer_address", "this node has no address that others could dial");
  return address;
}

export const peersQr: Verb = {
  usage: "peers qr [ADDRESS]",
  about:
    "Prints this node's enclave card, or its address where no enclave runs, as a QR code and as text; or the given\n" +
    "address. The other operator runs spine peers add TEXT.",
  examples: ["spine peers qr", "spine peers qr --json"],
  operands: { least: 0, most: 1 },
  async run(context) {
    const { operands, out, json } = context;
    const given = operands[0];
    const text = given === undefined ? await ownAddress(context) : checkAddress(given);
    if (json) await out.line({ text });
    else await out.write(`${qrLines(text).join("\n")}\n${text}\n`);
    return 0;
  },
};

export const peersAdd: Verb = {
  usage: "peers add ADDRESS…",
  about: "Keeps the node connected to these peers from now on.",
  examples: ["spine peers add /ip4/192.0.2.1/tcp/4801/p2p/PEER_ID", "spine peers add spine-peer:1:TEXT"],
  operands: { least: 1, most: 100 },
  async run(context) {
    for (const address of await addAll(context, context.operands.map(checkAddress)))
      await context.out.line(context.json ? { added: address } : `added ${address}`);
    return 0;
  },
};

export const peersRemove: Verb = {
  usage: "peers remove ID_OR_ADDRESS…",
  about: "Forgets peers that were added, and drops their connections.",
  examples: ["spine peers remove PEER_ID"],
  operands: { least: 1, most: 100 },
  async run(context) {
    const { dir, operands, out, json } = context;
    await using daemon = await connectDaemon(dir);
    if (daemon) for (const peer of operands) await daemon.removePeer(peer);
    else {
      const named = (address: string): boolean =>
        operands.some((one) => address === one || address.endsWith(`/${one}`));
      await changePeerbook(dir.peerbook, { remove: named });
    }
    for (const peer of operands) await out.line(json ? { removed: peer } : `removed ${peer}`);
    return 0;
  },
};

export const peersExport: Verb = {
  usage: "peers export [FILE]",
  about: "Writes the peerbook as JSON, for `spine peers import` on another node.",
  examples: ["spine peers export peers.json"],
  operands: { least: 0, most: 1 },
  async run(context) {
    const text = peerbookText(await configuredAddresses(context));
    const file = context.operands[0];
    if (file === undefined || file === "-") await context.out.write(text);
    else {
      await writeFileAtomic(file, text, { mode: 0o644, exclusive: false }).catch((cause: unknown) => {
        throw asSpineError(cause, "store_failed");
      });
    }
    return 0;
  },
};

export const peersImport: Verb = {
  usage: "peers import FILE",
  about: "Adds all peers of an exported peerbook, or none when one of them is wrong.",
  examples: ["spine peers import peers.json"],
  operands: { least: 1, most: 1 },
  async run(context) {
    const file = context.operands[0] as string;
    const text = await readFile(file === "-" ? "/dev/stdin" : file, "utf8").catch((cause: unknown) => {
      throw new SpineError("usage", `cannot read ${file}: ${errorCodeOf(cause) ?? "unknown error"}`, { cause });
    });
    const addresses = parsePeerbook(text, file);
    const added = (await addAll(context, addresses)).length;
    await context.out.line(context.json ? { added } : `${added} peers added`);
    return 0;
  },
};
