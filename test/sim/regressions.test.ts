/** Failures that the search found and that were mended since: small scenario files, each of which must end as it must. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { failureOf, readScenario, runScenario } from "../../sim/index.ts";
import { nativePorts } from "../helpers/sim-ports.ts";

const FOLDER = new URL("../../../test/sim/regressions/", import.meta.url);

describe("regressions found by search", () => {
  const names = readdirSync(fileURLToPath(FOLDER)).filter((name) => name.endsWith(".yaml"));
  it("are there", () => assert.ok(names.length > 0));
  for (const name of names)
    it(name.replace(/\.yaml$/, ""), async () => {
      const { file, seed } = readScenario(readFileSync(new URL(name, FOLDER), "utf8"), name);
      const result = await runScenario(file, { seed, ports: nativePorts() });
      assert.equal(failureOf(result), null, result.violation?.detail ?? result.failures.join("; "));
    });
});
