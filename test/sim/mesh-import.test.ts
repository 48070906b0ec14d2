/** A real mesh as a scenario: from the status and the peerbook of its nodes, also where some are missing. */
import assert from "node:assert/strict";
import { importMesh, readScenario, runScenario, scenarioText } from "../../sim/index.ts";
import { nativePorts } from "../helpers/sim-ports.ts";
import { throwsCode } from "../helpers/throws.ts";

const issuer = (n: number): string => `aegis:ed25519:${n.toString(16).padStart(2, "0").repeat(32)}`;

interface Seen {
  readonly name?: string;
  readonly planes?: readonly (readonly [string, readonly string[]])[];
  readonly links?: readonly (readonly [string, string, number | null])[];
  readonly admits?: readonly number[];
  readonly uptime?: number;
}
/** What `spine status --json` says of node `n`, as far as it is read. */
function status(n: number, { name = "", planes = [], links = [], admits = [], uptime = 0 }: Seen): string {
  const admitted = admits.map((one) => ({ issuer: issuer(one), admission: "allowed", admitted: true }));
  const log = { issuer: issuer(200 + n), admission: "log", admitted: true };
  return JSON.stringify({
    issuer: issuer(n),
    name,
    running: uptime > 0,
    uptime_seconds: uptime,
    head: uptime > 0 ? { seq: uptime / 10 } : null,
    planes: planes.map(([plane, addresses]) => ({ name: plane, addresses, links: 0 })),
    links: links.map(([plane, address, to]) => ({ plane, address, issuer: to === null ? null : issuer(to) })),
    issuers: { issuers: [{ issuer: issuer(n), admission: "own", admitted: true }, log, ...admitted] },
    warnings: n === 3 ? ["Lab mode: every issuer is admitted."] : [],
  });
}
const book = (...peers: string[]): string => JSON.stringify({ schema: "spine.peerbook.v1", peers });
const files = (...texts: string[]) => texts.map((text, i) => ({ path: `${i}.json`, text }));

describe("a real mesh as a scenario", () => {
  const at2 = "/ip4/192.168.1.2/tcp/4801/p2p/12D3Two";
  const mesh = files(
    status(1, {
      name: "Site A",
      planes: [
        ["libp2p", ["/ip4/192.168.1.1/tcp/4801/p2p/12D3One"]],
        ["reticulum/rnode0", ["rns:aa"]],
        ["nats", ["nats://10.0.0.1"]],
      ],
      links: [
        ["libp2p", at2, 2],
        ["libp2p", "/ip4/203.0.113.9/tcp/1/p2p/12D3Far", 9],
        ["reticulum/rnode0", "rns:cc", 3],
        ["libp2p", "/ip4/192.0.2.7/tcp/1", null],
      ],
      admits: [2, 3],
      uptime: 3_600,
    }),
    book(at2),
    status(2, {
      name: "site a",
      planes: [
        ["libp2p", [at2]],
        ["nats/hub", []],
      ],
      links: [["libp2p", "/ip4/192.168.1.1/tcp/9/p2p/12D3One", 1]],
      admits: [1],
    }),
    status(3, { planes: [["reticulum/rnode0", ["rns:cc"]]] }),
    book("rns:aa", at2),
  );

  it("has its nodes, links, planes, admissions and pace", () => {
    const { file, remarks } = importMesh(mesh, "site");
    assert.deepEqual(
      file.nodes.map(({ name, admits, keepsLog, open, discloses }) => [name, admits, keepsLog, open, discloses]),
      [
        ["Site_A", ["site_a_2", "node"], true, false, true],
        ["site_a_2", ["Site_A"], true, false, true],
        ["node", [], true, true, false],
        ["peer_09090909", "*", false, false, false],
      ],
    );
    assert.deepEqual(
      file.networks.map((network) => {
        const links =
          network.type === "stream" && network.topology.type === "links"
            ? network.topology.links
            : network.type === "radio" && network.pathLoss.type === "links"
              ? network.pathLoss.links
              : [];
        return [network.type, network.name, network.members, links];
      }),
      [
        [
          "stream",
          "lan",
          ["Site_A", "site_a_2", "node"],
          [
            ["Site_A", "site_a_2"],
            ["site_a_2", "node"],
          ],
        ],
        ["stream", "internet", ["Site_A", "peer_09090909"], [["Site_A", "peer_09090909"]]],
        ["radio", "radio", ["Site_A", "node"], [["Site_A", "node"]]],
        ["broker", "nats", ["Site_A", "site_a_2"], []],
      ],
    );
    assert.deepEqual(
      file.load.map(({ everyMs }) => everyMs),
      [10_000, 60_000, 60_000, 60_000],
    );
    assert.match(remarks.join("\n"), /^1 nodes are known from links alone/);
    assert.equal(new Set(file.nodes.map(({ place }) => JSON.stringify(place))).size, 4);
  });

  it("is a scenario that can be written, read and run", async () => {
    const { file } = importMesh(mesh, "site");
    assert.deepEqual(readScenario(scenarioText(file), "site.yaml").file, file);
    const wired = { ...file, durationMs: 60_000, networks: file.networks.filter(({ type }) => type === "stream") };
    const result = await runScenario(wired, { seed: 1, ports: nativePorts() });
    assert.equal(result.violation, null);
    assert.ok(result.envelopes > 4);
  });

  it("refuses other files, a node twice, and peers of nobody", () => {
    const own = status(1, {});
    throwsCode(() => importMesh(files("{}"), "x"), "scenario_invalid", /0\.json: neither/);
    throwsCode(() => importMesh(files("[1"), "x"), "scenario_invalid", /0\.json: not JSON/);
    throwsCode(() => importMesh(files(own, own), "x"), "scenario_invalid", /1\.json: the same node as 0\.json/);
    throwsCode(() => importMesh(files(book(), own), "x"), "scenario_invalid", /0\.json: a peers file comes after/);
    throwsCode(() => importMesh(files(own), "No Name"), "scenario_invalid", /name: expected/);
    throwsCode(() => importMesh([], "x"), "usage");
  });
});
