/** The configuration: precedence, all problems at once with their paths, JSON Schema, redaction. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  type Config,
  configJsonSchema,
  configSchema,
  loadConfig,
  parseConfigText,
  redactConfig,
  resolveConfig,
  variableName,
} from "../../node/index.ts";
import { SpineError } from "../../spine/index.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

const resolve = (file: unknown, env: Record<string, string> = {}, flags: Record<string, string> = {}): Config =>
  resolveConfig({ file, env, flags });

function problems(run: () => unknown): string[] {
  try {
    run();
  } catch (caught) {
    assert.ok(caught instanceof SpineError);
    assert.equal(caught.code, "config_invalid");
    return caught.message.split("\n");
  }
  return assert.fail("was accepted");
}

describe("configuration", () => {
  const folder = temporaryFolders();

  it("listens nowhere and admits nobody unless told to", () => {
    const config = resolve(undefined);
    assert.deepEqual(config.planes.libp2p.listen, []);
    assert.equal(config.issuers.open, false);
    assert.equal(config.api.listen, undefined);
    assert.equal(config.planes.libp2p.mdns, false);
  });

  it("lets flags override variables, variables the file, the file the defaults", () => {
    const file = { name: "file", log: { level: "warn" }, quotas: { claims: 5 } };
    const env = { SPINE_NAME: "env", SPINE_LOG_LEVEL: "error" };
    const config = resolve(file, env, { name: "flag" });
    assert.equal(config.name, "flag");
    assert.equal(config.log.level, "error");
    assert.equal(config.quotas.claims, 5);
    assert.equal(config.publish.maxBatch, 256);
  });

  it("reads every kind of field from variables", () => {
    assert.equal(variableName(["planes", "libp2p", "maxConnections"]), "SPINE_PLANES_LIBP2P_MAX_CONNECTIONS");
    const config = resolve(undefined, {
      SPINE_PLANES_LIBP2P_MAX_CONNECTIONS: "7",
      SPINE_PLANES_LIBP2P_LISTEN: "/ip4/127.0.0.1/tcp/0, /ip6/::1/tcp/0",
      SPINE_PLANES_LIBP2P_PEERS: "",
      SPINE_PLANES_LIBP2P_MDNS: "true",
      SPINE_NAME: "123",
      SPINE_DIR: "/elsewhere",
      SPINE_SERVICE_HOST: "10.0.0.1",
    });
    assert.equal(config.planes.libp2p.maxConnections, 7);
    assert.deepEqual(config.planes.libp2p.listen, ["/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/0"]);
    assert.deepEqual(config.planes.libp2p.peers, []);
    assert.equal(config.planes.libp2p.mdns, true);
    assert.equal(config.name, "123");
  });

  it("names every problem with its path", () => {
    const found = problems(() =>
      resolve(
        {
          nme: "x",
          log: { level: "loud" },
          planes: { libp2p: { listen: ["/ip4/0.0.0.0/tcp/1", 5, "tcp"], maxConnections: 0 }, lora: {} },
          issuers: { allow: ["aegis:ed25519:00"] },
          api: { listen: "0.0.0.0:80" },
        },
        { SPINE_QUOTAS_CLAIMS: "many" },
        { "no.such": "1" },
      ),
    );
    const paths = found.map((line) => line.split(":")[0]).sort();
    assert.deepEqual(paths, [
      "(top level)",
      "api.listen",
      "issuers.allow[0]",
      "log.level",
      "no.such",
      "planes",
      "planes.libp2p.listen[1]",
      "planes.libp2p.listen[2]",
      "planes.libp2p.maxConnections",
      "quotas.claims",
    ]);
    assert.match(found.find((line) => line.startsWith("(top level)")) ?? "", /nme/);
  });

  it("refuses a wrong kind where fields are expected, also when a variable reaches below it", () => {
    assert.match(problems(() => resolve({ planes: "all" }, { SPINE_PLANES_LIBP2P_MDNS: "true" }))[0] ?? "", /^planes:/);
    assert.match(problems(() => resolve([]))[0] ?? "", /expected fields/);
    assert.match(problems(() => resolve("name"))[0] ?? "", /expected fields/);
  });

  it("refuses ports and hosts that are not loopback or do not exist", () => {
    for (const listen of ["127.0.0.1:65536", "192.168.0.1:1", "127.0.0.1", "example.org:80"]) {
      assert.match(problems(() => resolve({ api: { listen } }))[0] ?? "", /^api\.listen/);
    }
    assert.equal(resolve({ api: { listen: "[::1]:4800" } }).api.listen, "[::1]:4800");
  });

  it("reads YAML, and says where it is broken", async () => {
    const path = join(await folder(), "config.yaml");
    const load = (required = true) => loadConfig({ path, required, env: {}, flags: {} });
    await assert.rejects(load(), { code: "config_invalid" });
    assert.equal((await load(false)).name, "");
    await writeFile(path, "name: a\nlog: {level: debug}\n");
    assert.equal((await load()).log.level, "debug");
    for (const text of ["name: [a\n", "name: a\nname: b\n", "a: &x [1]\nb: *x\n", "\tname: x", 'name: "half']) {
      assert.match(problems(() => parseConfigText(text, "config.yaml"))[0] ?? "", /^config\.yaml/, text);
    }
    await writeFile(path, "");
    assert.equal((await load()).name, "");
  });

  it("has a JSON Schema that names every field and forbids others", () => {
    const schema = configJsonSchema() as { additionalProperties: boolean; properties: Record<string, object> };
    assert.equal(schema.additionalProperties, false);
    assert.deepEqual(Object.keys(schema.properties), Object.keys(configSchema.shape));
  });

  it("hides passwords in URLs when shown", () => {
    const shown = redactConfig({ a: ["nats://user:secret@host:4222", "/ip4/1.2.3.4/tcp/1"], b: { c: 1 } });
    assert.deepEqual(shown, { a: ["nats://[redacted]@host:4222", "/ip4/1.2.3.4/tcp/1"], b: { c: 1 } });
  });
});
