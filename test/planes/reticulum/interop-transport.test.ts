/** Chains of transport nodes, ours and the reference's mixed, over TCP, serial lines and emulated radio. */
import assert from "node:assert/strict";
import { together } from "../../helpers/together.ts";
import { describePty } from "../../peers/pty.ts";
import { describeRns, RnsNode } from "../../peers/rns.ts";
import { type End, meet, OwnNode, PythonEnd, type RealWire, radioWire, serialWire, tcpWire } from "./mixed.ts";

/** The nodes of a chain from left to right ("own" or "python") and the wires between them. */
async function buildChain(
  kinds: readonly ("own" | "python")[],
  wires: readonly RealWire[],
): Promise<{ ends: readonly [End, End]; nodes: readonly End[] }> {
  const nodes: End[] = [];
  for (const [i, kind] of kinds.entries()) {
    const left = wires[i - 1];
    const right = wires[i];
    const inner = left !== undefined && right !== undefined;
    if (kind === "own") {
      const interfaces = [
        ...(left === undefined ? [] : [left.ours(1)]),
        ...(right === undefined ? [] : [right.ours(0)]),
      ];
      nodes.push(await OwnNode.start(interfaces, inner));
    } else {
      const section = `${left?.theirs(1) ?? ""}${right?.theirs(0) ?? ""}`;
      nodes.push(new PythonEnd(await (inner ? RnsNode.startTransport(section) : RnsNode.start(section))));
    }
  }
  return { ends: [nodes[0] as End, nodes[nodes.length - 1] as End], nodes };
}

interface Chain {
  readonly title: string;
  readonly kinds: readonly ("own" | "python")[];
  readonly wires: () => Promise<readonly RealWire[]>;
  readonly resourceBytes: number;
}

async function run(chain: Chain): Promise<void> {
  const wires = await chain.wires();
  const nodes: End[] = [];
  try {
    const built = await buildChain(chain.kinds, wires);
    nodes.push(...built.nodes);
    const [a, b] = built.ends;
    await meet(a, b, wires.length);
    await a.visit(b, chain.resourceBytes);
    await b.visit(a, chain.resourceBytes);
  } finally {
    for (const node of nodes) await node.stop();
    for (const wire of wires) await wire.close();
  }
}

const OVER_TCP: readonly Chain[] = [
  {
    title: "the reference, ours, the reference over TCP",
    kinds: ["python", "own", "python"],
    wires: async () => [await tcpWire("left"), await tcpWire("right")],
    resourceBytes: 50_000,
  },
  {
    title: "ours, the reference, ours over TCP",
    kinds: ["own", "python", "own"],
    wires: async () => [await tcpWire("left"), await tcpWire("right")],
    resourceBytes: 50_000,
  },
];

const WITH_LINES: readonly Chain[] = [
  {
    title: "four hops: TCP, serial, radio, TCP; ours, the reference, ours, the reference, ours",
    kinds: ["own", "python", "own", "python", "own"],
    wires: async () => [
      await tcpWire("one"),
      await serialWire("two"),
      await radioWire("three", 1),
      await tcpWire("four"),
    ],
    resourceBytes: 3000,
  },
  {
    title: "four hops: TCP, radio, serial, TCP; the reference at both ends",
    kinds: ["python", "own", "python", "own", "python"],
    wires: async () => [
      await tcpWire("one"),
      await radioWire("two", 1),
      await serialWire("three"),
      await tcpWire("four"),
    ],
    resourceBytes: 3000,
  },
  {
    title: "the reference, ours, the reference over serial lines",
    kinds: ["python", "own", "python"],
    wires: async () => [await serialWire("left"), await serialWire("right")],
    resourceBytes: 10_000,
  },
  {
    title: "the reference, ours, the reference over radio",
    kinds: ["python", "own", "python"],
    wires: async () => [await radioWire("left", 0), await radioWire("right", 1)],
    resourceBytes: 3000,
  },
  {
    title: "ours, the reference, ours over serial and radio",
    kinds: ["own", "python", "own"],
    wires: async () => [await serialWire("left"), await radioWire("right", 0)],
    resourceBytes: 3000,
  },
];

/** Chains wait for lines and radios more than they work. */
const AT_ONCE = 3;

function chainCases(suite: Mocha.Suite, chains: readonly Chain[]): void {
  suite.timeout(300_000);
  const it = together(AT_ONCE);
  for (const chain of chains) it(`carries everything both ways: ${chain.title}`, () => run(chain));
}

describePty("reticulum interop: transport chains over lines and radio", function () {
  chainCases(this, WITH_LINES);
});

describeRns("reticulum interop: transport chains over TCP", function () {
  chainCases(this, OVER_TCP);

  it("answers a path request of the reference for a destination behind us, and asks the reference for one", async () => {
    const wires = [await tcpWire("left"), await tcpWire("right")];
    const [left, right] = wires as [RealWire, RealWire];
    const router = await OwnNode.start([left.ours(0), right.ours(0)], true);
    const far = new PythonEnd(await RnsNode.start(right.theirs(1)));
    let late: PythonEnd | undefined;
    try {
      for (let i = 0; i < 8; i++) {
        await far.announce();
        if ((await router.hears(far.hash, 2500)) !== undefined) break;
      }
      late = new PythonEnd(await RnsNode.start(left.theirs(1)));
      await router.hears(late.hash, 500);
      let hops: number | undefined;
      for (let i = 0; i < 5 && hops === undefined; i++) {
        await late.node.do({ do: "path", hash: far.hash }, "path-requested");
        hops = await late.hears(far.hash, 3000);
      }
      assert.equal(hops, 2);
      await late.visit(far, 1000);
    } finally {
      await late?.stop();
      await far.stop();
      await router.stop();
    }
  }).timeout(60_000);
});
