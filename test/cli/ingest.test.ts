/** `spine ingest`: counts, refusals that stop nothing, and a file that grows while it is read. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const CLI = fileURLToPath(new URL("../../node/cli.js", import.meta.url));
const fact = (n: number): string => `{"schema":"aegis.spine.fact.note.v1","n":${n}}\n`;

describe("spine ingest", () => {
  let folder: string;
  const run = async (args: readonly string[], during?: (lines: () => number, stop: () => void) => Promise<void>) => {
    const child = spawn(process.execPath, [CLI, ...args, "--dir", join(folder, "node")]);
    let [out, err] = ["", ""];
    child.stdout.on("data", (chunk) => {
      out += chunk;
    });
    child.stderr.on("data", (chunk) => {
      err += chunk;
    });
    const gone = new Promise<number | null>((resolve) => child.once("close", resolve));
    await during?.(
      () => out.split("\n").length - 1,
      () => void child.kill("SIGINT"),
    );
    return {
      code: await gone,
      lines: out
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line)),
      err,
    };
  };
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "spine-ingest-"));
    await new Promise((resolve) =>
      spawn(process.execPath, [CLI, "init", "--dir", join(folder, "node")]).once("close", resolve),
    );
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it("counts what it mapped and what was malformed", async () => {
    const file = join(folder, "facts.jsonl");
    writeFileSync(file, `${fact(1)}nonsense\n${fact(2)}`);
    const { code, lines, err } = await run(["ingest", "--format", "fact", file]);
    assert.equal(code, 1);
    assert.deepEqual(
      lines.map(({ ok }) => ok),
      [true, false, true],
    );
    assert.match(err, /2 mapped, 0 unknown, 1 malformed/);
  });

  it("follows a growing file until it is interrupted", async () => {
    const file = join(folder, "growing.jsonl");
    writeFileSync(file, fact(3));
    const wait = async (done: () => boolean): Promise<void> => {
      while (!done()) await new Promise((resolve) => setTimeout(resolve, 20));
    };
    const { lines, err } = await run(["ingest", "--format", "fact", "--follow", file], async (count, stop) => {
      await wait(() => count() === 1);
      appendFileSync(file, fact(4) + fact(5));
      await wait(() => count() === 3);
      stop();
    });
    assert.deepEqual(
      lines.map(({ seq }) => seq),
      [4, 5, 6],
    );
    assert.match(err, /3 mapped/);
  });

  it("refuses formats it does not know", async () => {
    const child = spawn(process.execPath, [CLI, "ingest", "--format", "smoke", "-", "--dir", join(folder, "node")]);
    assert.equal(await new Promise((resolve) => child.once("close", resolve)), 2);
  });
});
