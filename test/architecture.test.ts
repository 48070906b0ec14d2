/** The house rules that a compiler does not check: who imports whom, purity of the core, sizes, doc comments, words. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";

const ROOT = resolve(import.meta.dirname, "../..");
const MAX_LINES = 500;
/** Suites may be a little longer than what they test. */
const MAX_TEST_LINES = 600;

interface Folder {
  /** Other folders it may import, by their `index.ts` only. */
  readonly folders: readonly string[];
  readonly node: boolean;
  readonly packages: RegExp;
}

/** A new package is a decision: it is written down here. */
const FOLDERS: Readonly<Record<string, Folder>> = {
  spine: { folders: [], node: false, packages: /^(@noble\/(ed25519|hashes(\/.*)?)|cbor-x)$/ },
  planes: {
    folders: ["spine"],
    node: true,
    packages: /^(libp2p|@libp2p\/.*|@multiformats\/multiaddr|datastore-level|@nats-io\/.*|serialport)$/,
  },
  storage: { folders: ["spine"], node: true, packages: /^level$/ },
  node: {
    folders: ["spine", "planes", "storage"],
    node: true,
    packages:
      /^(hono|@hono\/node-server(\/.*)?|pino|prom-client|zod|yaml|smol-toml|re2js|qr|@modelcontextprotocol\/sdk(\/.*)?)$/,
  },
  sim: { folders: ["spine", "planes", "storage", "node"], node: false, packages: /^yaml$/ },
};

interface Source {
  /** Relative to the project, with slashes. */
  readonly path: string;
  readonly text: string;
}

function sources(folder: string, ending: RegExp): Source[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && ending.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({ path: relative(ROOT, path).split(sep).join("/"), text: readFileSync(path, "utf8") }));
}

/** The code without its comments; a `//` inside a string has no space before it. */
function codeOf(text: string): string {
  return text.replace(/^\s*\/\*[\s\S]*?\*\//gm, "").replace(/(^|\s)\/\/.*$/gm, "");
}

function importsOf(text: string): string[] {
  const found = codeOf(text).matchAll(/(?:^(?:import|export)\b[^;"=]*\bfrom|^import|\bimport\()\s*"([^"]+)"/gm);
  return [...found].map(([, name]) => name as string);
}

/** What is wrong with a file's imports, one sentence each. */
function importFaults({ path, text }: Source): string[] {
  const [own = ""] = path.split("/");
  const folder = FOLDERS[own] as Folder;
  return importsOf(text).flatMap((name) => {
    if (name.startsWith("node:")) return folder.node ? [] : [`${path} imports ${name}`];
    if (!name.startsWith(".")) return folder.packages.test(name) ? [] : [`${path} imports the package ${name}`];
    const target = join(dirname(path), name).split(sep).join("/");
    const [other = "", ...rest] = target.split("/");
    if (other === own) return planeFaults(path, target);
    if (!folder.folders.includes(other)) return [`${path} imports ${target}`];
    return rest.join("/") === "index.ts" ? [] : [`${path} imports ${target}, not ${other}/index.ts`];
  });
}

/** Planes never import each other. */
function planeFaults(path: string, target: string): string[] {
  const planeOf = (file: string): string | undefined => /^planes\/([^/]+)\//.exec(file)?.[1];
  const [from, to] = [planeOf(path), planeOf(target)];
  return from !== undefined && to !== undefined && from !== to ? [`${path} imports another plane, ${target}`] : [];
}

const IMPURE =
  /\b(Date|performance|process|Buffer|globalThis|require|setTimeout|setInterval|setImmediate|queueMicrotask)\b\s*[.([]|\bnew Date\b|\bMath\.random\b|\bcrypto\.\w/;
const TIMELY = /\bDate\.now\b|\bnew Date\(\)|\bperformance\.now\b|\bMath\.random\b|\bset(Timeout|Interval)\(/;
const UNFINISHED = /\b(T[O]DO|F[I]XME|X[X]X)\b/;
/** Paths of somebody's machine, and hosts that packages come from. */
/** `/home/u` is nobody: the home directory in examples of guarded paths. */
const FOREIGN = /["'`\s(](\/(work|home(?!\/u\b)|root|Users|mnt)\/[a-z])|\bregistry\.[a-z]+\.[a-z]+/i;
/** An optional interpreter line, then a comment that says what the file is. */
const DOCUMENTED = /^(#![^\n]*\n)?\/\*\*\s*(\* )?[^\s*/]/;

function linesMatching({ path, text }: Source, pattern: RegExp, code: boolean): string[] {
  const lines = (code ? codeOf(text) : text).split("\n");
  return lines.filter((line) => pattern.test(line)).map((line) => `${path}: ${line.trim()}`);
}

describe("architecture", () => {
  const folders = Object.keys(FOLDERS);
  const code = folders.flatMap((folder) => sources(folder, /\.c?ts$/));
  const tests = sources("test", /\.(ts|mjs)$/);
  const all = [...code, ...tests];

  it("sees the project", () => {
    for (const folder of folders) {
      assert.ok(
        code.some(({ path }) => path.startsWith(`${folder}/`)),
        folder,
      );
      assert.ok(existsSync(join(ROOT, folder, "index.ts")), `${folder} has no public face`);
    }
    const entries = readdirSync(ROOT).filter((name) => !name.startsWith("."));
    const made = ["dist", "node_modules", "coverage"];
    const fixed = [...folders, "test", "README.md", "LICENSE", "package.json", "package-lock.json", "tsconfig.json"];
    assert.deepEqual(
      entries.filter((name) => ![...made, ...fixed].includes(name)),
      [],
    );
  });

  it("imports only what each folder may, and of other folders only the public face", () => {
    assert.deepEqual(code.flatMap(importFaults), []);
    const wrong = (path: string, name: string) => importFaults({ path, text: `import { a } from "${name}";` }).length;
    assert.deepEqual(
      [
        wrong("spine/a.ts", "node:fs"),
        wrong("spine/a.ts", "level"),
        wrong("spine/a.ts", "../node/index.ts"),
        wrong("node/api/a.ts", "../../spine/head.ts"),
        wrong("storage/a.ts", "../planes/index.ts"),
        wrong("planes/nats/a.ts", "../libp2p/plane.ts"),
        importFaults({ path: "sim/a.ts", text: 'const a = await import("node:os");' }).length,
      ],
      [1, 1, 1, 1, 1, 1, 1],
    );
    assert.equal(wrong("node/api/a.ts", "../../spine/index.ts") + wrong("planes/nats/a.ts", "../backoff.ts"), 0);
  });

  it("reaches for the simulator from one place of the node, at run time and by its public face", () => {
    // A computed import would pass unseen by the rules above.
    const computed = code.filter(({ text }) => /\bimport\((?!\s*")/.test(codeOf(text)));
    assert.deepEqual(
      computed.map(({ path }) => path),
      ["node/simulation/load.ts"],
    );
    assert.match(computed[0]?.text ?? "", /new URL\("\.\.\/\.\.\/sim\/index\.js", import\.meta\.url\)/);
  });

  it("keeps time, chance and the machine out of the core, and wall time out of the simulator", () => {
    const core = code.filter(({ path }) => path.startsWith("spine/"));
    const sim = code.filter(({ path }) => path.startsWith("sim/"));
    assert.deepEqual(
      [
        ...core.flatMap((one) => linesMatching(one, IMPURE, true)),
        ...sim.flatMap((one) => linesMatching(one, TIMELY, true)),
      ],
      [],
    );
    for (const text of [
      "Date.now()",
      "x = new Date",
      "Math.random()",
      "setTimeout(f, 1)",
      "process.env",
      "Buffer.of()",
    ]) {
      assert.equal(linesMatching({ path: "", text }, IMPURE, true).length, 1, text);
    }
    assert.equal(linesMatching({ path: "", text: "// a Date. And a process.\n * new Date" }, TIMELY, true).length, 0);
  });

  it("keeps files short", () => {
    const long = (files: readonly Source[], most: number) =>
      files.map(({ path, text }) => ({ path, lines: text.split("\n").length - 1 })).filter(({ lines }) => lines > most);
    assert.deepEqual([...long(code, MAX_LINES), ...long(tests, MAX_TEST_LINES)], []);
  });

  it("says at the top of each file what it is", () => {
    assert.deepEqual(
      all.filter(({ text }) => !DOCUMENTED.test(text)).map(({ path }) => path),
      [],
    );
    assert.ok(!DOCUMENTED.test("import x\n/** late */") && !DOCUMENTED.test("/** */"));
  });

  it("names files in kebab case", () => {
    const names = all
      .map(({ path }) => path)
      .filter((path) => !/^[a-z0-9-]+(\/[a-z0-9-]+)*(\.test)?\.(c?ts|mjs)$/.test(path));
    assert.deepEqual(names, []);
    assert.deepEqual(
      all.map(({ path }) => path).filter((path) => /(^|\/)utils?\.ts$/.test(path)),
      [],
    );
  });

  it("leaves nothing unfinished and names no machine of its makers", () => {
    const readme = { path: "README.md", text: readFileSync(join(ROOT, "README.md"), "utf8") };
    assert.deepEqual(
      [...all, readme].flatMap((one) => [
        ...linesMatching(one, UNFINISHED, false),
        ...linesMatching(one, FOREIGN, false),
      ]),
      [],
    );
    for (const text of [`// T${"O"}DO: later`, `see /${"home"}/me/x`, `https://${"registry"}.example.org/x`]) {
      const found = [
        ...linesMatching({ path: "", text }, UNFINISHED, false),
        ...linesMatching({ path: "", text }, FOREIGN, false),
      ];
      assert.equal(found.length, 1, text);
    }
  });
});
