/** The README tells the truth: its example runs, every error code and dependency stands in it, every verb it names exists. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DEFAULT_DISCLOSURE, ERRORS } from "../spine/index.ts";

const ROOT = new URL("../../", import.meta.url);
const CLI = fileURLToPath(new URL("dist/node/cli.js", ROOT));
const readme = readFileSync(new URL("README.md", ROOT), "utf8");

describe("README", () => {
  it("runs its example, line by line", () => {
    const block = /```console\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
    const commands = block.split("\n").filter((line) => line.startsWith("$ "));
    assert.ok(commands.length >= 8, "the example is there");
    const folder = mkdtempSync(join(tmpdir(), "spine-readme-"));
    try {
      const script = ["set -euo pipefail", `spine() { "${process.execPath}" "${CLI}" "$@"; }`];
      for (const command of commands) script.push(command.slice(2));
      const run = spawnSync("bash", ["-c", script.join("\n")], { cwd: folder, encoding: "utf8" });
      assert.equal(run.status, 0, run.stderr);
      assert.match(run.stdout, /[1-9] envelopes checked, 0 problems/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }).timeout(30_000);

  it("documents every error code with its blame and hint, and no other", () => {
    const rows = [...readme.matchAll(/^\| `([a-z_0-9]+)` \| (none|sender) \| (.*) \|$/gm)];
    const documented = rows.map(([, code, blame, hint]) => [code, { blame, hint: hint?.replaceAll("\\|", "|") }]);
    assert.deepEqual(Object.fromEntries(documented), { ...ERRORS });
  });

  it("has the table of what crosses which plane by default", () => {
    const word = (yes: boolean): string => (yes ? "yes" : "no");
    const rows = DEFAULT_DISCLOSURE.map(
      ({ kind, between, toRadio, fromRadio }) =>
        `| ${kind} | ${word(between)} | ${word(toRadio)} | ${word(fromRadio)} |`,
    );
    const table = /\| fact kind, by default \|.*\n\|[-|]+\n((?:\|.*\n)+)/.exec(readme)?.[1] ?? "";
    const [last, ...known] = table.trimEnd().split("\n").reverse();
    assert.deepEqual(known.reverse(), rows);
    assert.match(last ?? "", /^\| everything else: .* \| no \| no \| no \|$/);
  });

  it("justifies every dependency in one line", () => {
    const manifest = JSON.parse(readFileSync(new URL("package.json", ROOT), "utf8")) as Record<
      "dependencies" | "devDependencies",
      object
    >;
    for (const name of Object.keys(manifest.dependencies)) assert.ok(readme.includes(`\n| ${name} | `), name);
    for (const name of Object.keys(manifest.devDependencies))
      assert.ok(readme.includes(`\n| ${name} (development) | `), name);
  });

  it("names only verbs that exist", () => {
    const section = /\| verb \| does \|\n[\s\S]*?\n\n/.exec(readme)?.[0] ?? "";
    const help = spawnSync(process.execPath, [CLI, "--help"], { encoding: "utf8" }).stdout;
    const verbs = [...section.matchAll(/`([a-z\\| -]+?)(?: \[.*?\]| [A-Z]+)?`/g)].flatMap(([, cell]) => {
      const [first, ...rest] = (cell as string).split(" ");
      return rest.length === 0
        ? [first as string]
        : (rest[0] as string).split("\\|").map((second) => `${first} ${second}`);
    });
    assert.ok(verbs.length > 15);
    for (const verb of verbs) assert.match(help, new RegExp(`^ {2}${verb} `, "m"), verb);
  });
});
