/**
 * Up to a megabyte each way between the stack and the Python reference over serial lines, KISS TNCs and RNodes: what does not
 * compress without access code, what does with one. The air of the RNodes is faster than real air, all else is as it is.
 */
import { RadioEther } from "../../../planes/reticulum/ether.ts";
import { kissTnc } from "../../../planes/reticulum/interfaces/kiss-tnc.ts";
import { RNodeInterface } from "../../../planes/reticulum/interfaces/rnode-interface.ts";
import { serialInterface } from "../../../planes/reticulum/interfaces/serial.ts";
import { describePty, Pty } from "../../peers/pty.ts";
import { airClock, EmulatedRNode } from "../../peers/rnode.ts";
import { Meeting, resourceSuite } from "./interop.ts";

const SIZES = [100, 10_000, 1_000_000];
/** The reference reads a line byte by byte: alone on a machine it takes 10 to 20 s. */
const TIMEOUT_MS = 300_000;
const SERIAL = "enabled = Yes\nspeed = 115200\ndatabits = 8\nparity = none\nstopbits = 1\n";
const KISS = "preamble = 350\ntxtail = 20\npersistence = 200\nslottime = 20\nflow_control = false\n";
const RADIO = { frequencyHz: 867_200_000, bandwidthHz: 500_000, txPowerDbm: 14, spreadingFactor: 5, codingRate: 5 };
const RNODE =
  "flow_control = False\nfrequency = 867200000\nbandwidth = 500000\ntxpower = 14\nspreadingfactor = 5\ncodingrate = 5\n";
/** A megabyte is a quarter of an hour of this air. */
const TIMES_FASTER = 64;

interface Opened {
  readonly meeting: Promise<Meeting>;
  readonly close: () => Promise<void>;
}
type Access = { readonly networkName?: string };

async function serial(access: Access, theirs: string): Promise<Opened> {
  const pty = await Pty.open();
  const ours = serialInterface({ name: "serial", path: pty.near, ...access });
  const section = `[[serial]]\ntype = SerialInterface\nport = ${pty.far}\n${SERIAL}${theirs}`;
  return { meeting: Meeting.open(ours, section), close: () => pty.close() };
}

async function kiss(access: Access, theirs: string): Promise<Opened> {
  const pty = await Pty.open();
  const ours = kissTnc({ name: "kiss", path: pty.near, settleMs: 100, ...access });
  const section = `[[kiss]]\ntype = KISSInterface\nport = ${pty.far}\n${SERIAL}${KISS}${theirs}`;
  return { meeting: Meeting.open(ours, section), close: () => pty.close() };
}

async function rnode(access: Access, theirs: string): Promise<Opened> {
  // The reference sends a whole window at once, which such fast air lets grow; a device's queue would lose its end.
  const ether = new RadioEther({ clock: airClock(TIMES_FASTER), chance: Math.random, queuePackets: 256 });
  const [near, far] = [new EmulatedRNode(ether, "ours"), new EmulatedRNode(ether, "theirs")];
  const pty = await Pty.open(await far.listen());
  const device = { host: "127.0.0.1", port: await near.listen() };
  const ours = new RNodeInterface({ name: "rnode", radio: RADIO, device, flowControl: true, settleMs: 50, ...access });
  const section = `[[rnode]]\ntype = RNodeInterface\nenabled = Yes\nport = ${pty.near}\n${RNODE}${theirs}`;
  return {
    meeting: Meeting.open(ours, section),
    close: async () => {
      await pty.close();
      await near.close();
      await far.close();
    },
  };
}

/** And whether packets, links and requests are spoken with access code elsewhere: here they are the other way. */
const WIRES = [
  ["serial lines", serial, false],
  ["KISS TNCs", kiss, true],
  ["RNodes", rnode, true],
] as const;

for (const [name, open, talksWithAccess] of WIRES) {
  for (const withAccess of [false, true]) {
    const title = `reticulum interop: a megabyte over ${name}, ${withAccess ? "with" : "without"} access code`;
    const access = withAccess ? { networkName: "large" } : {};
    const theirs = withAccess ? "networkname = large\n" : "";
    describePty(title, () => {
      let opened: Opened | undefined;
      after(async () => {
        await opened?.close();
      });
      const meet = async (): Promise<Meeting> => {
        opened = await open(access, theirs);
        return opened.meeting;
      };
      const resources = { sizes: SIZES, compress: withAccess, compressible: withAccess };
      resourceSuite(meet, { ...resources, talk: withAccess !== talksWithAccess, timeoutMs: TIMEOUT_MS });
    });
  }
}
