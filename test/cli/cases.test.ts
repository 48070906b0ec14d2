/** Verbs that read cases without a node: canonical, envelope, head. The real program, one answer per line in order. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createSigner, sha256Hex } from "../../node/index.ts";
import { draftEnvelope, draftHead, envelopeText, headText, sealEnvelope, sealHead } from "../../spine/index.ts";
import { CLI, spine, startSpine } from "../helpers/cli.ts";
import { temporaryFolders } from "../helpers/temporary.ts";

const signer = createSigner(new Uint8Array(32).fill(9));
const hex = (text: string): string => Buffer.from(text).toString("hex");

function makeEnvelope(text: string) {
  const fact = { schema: "aegis.spine.fact.note.v1", text };
  const fields = { issuer: signer.issuer, seq: 1, prev: null, issuedAt: "2026-01-01T00:00:00Z", fact };
  const draft = draftEnvelope(fields, sha256Hex);
  return sealEnvelope(draft, signer.sign(draft.signingBytes));
}

describe("spine canonical", () => {
  it("answers each line, in order, whatever it holds", async () => {
    const input = Buffer.concat([
      Buffer.from('{"b":1,"a":[1.0]}\n{"a":1,"a":2}\n\n"\\ud800"\n1e400\n18446744073709551615\n'),
      Buffer.from([0xff, 10]),
      Buffer.from("[]"),
    ]);
    const { code, lines } = await spine(["canonical"], input);
    assert.equal(code, 1);
    assert.deepEqual(
      lines.map((one) => [one["line"], one["canonical"] ?? one["code"]]),
      [
        [1, '{"a":[1],"b":1}'],
        [2, "json_duplicate_key"],
        [3, "json_syntax"],
        [4, "json_lone_surrogate"],
        [5, "json_number"],
        [6, "18446744073709551615"],
        [7, "json_syntax"],
        [8, "[]"],
      ],
    );
    const digest = createHash("sha256").update('{"a":[1],"b":1}').digest("hex");
    assert.deepEqual(lines[0], { line: 1, ok: true, canonical: '{"a":[1],"b":1}', sha256: `0x${digest}` });
  });

  it("reads hex, and says when it is none", async () => {
    const { code, lines } = await spine(["canonical", "--hex", "-"], `${hex("[1 ]")}\nzz\n0x${hex("2")}\nabc\n`);
    assert.equal(code, 1);
    assert.deepEqual(
      lines.map((one) => one["canonical"] ?? one["code"]),
      ["[1]", "hex_syntax", "2", "hex_syntax"],
    );
  });

  it("exits 0 when all is well, also on nothing", async () => {
    assert.equal((await spine(["canonical"], "1\n2\n")).code, 0);
    assert.deepEqual(await spine(["canonical"], ""), { code: 0, out: "", err: "", lines: [] });
  });

  it("answers a line before the next one is sent", async () => {
    const child = startSpine(["canonical"]);
    for (const value of ["1", "2"]) {
      child.stdin.write(`${value}\n`);
      const [answer] = (await once(child.stdout, "data")) as [Buffer];
      assert.equal((JSON.parse(answer.toString()) as { canonical: string }).canonical, value);
    }
    child.stdin.end();
    assert.deepEqual(await once(child, "close"), [0, null]);
  });

  it("stops quietly when nobody reads on", async () => {
    const child = startSpine(["canonical"]);
    child.stdin.on("error", () => undefined);
    let err = "";
    child.stderr.on("data", (part: Buffer) => {
      err += part.toString();
    });
    child.stdin.write("1\n".repeat(1000));
    await once(child.stdout, "data");
    child.stdout.destroy();
    child.stdin.end("1\n".repeat(500_000));
    const [code] = (await once(child, "close")) as [number];
    assert.equal(code, 0);
    assert.equal(err, "");
  });

  it("fails loudly when its output cannot be written", async function () {
    if (!existsSync("/dev/full")) this.skip();
    const command = `"${process.execPath}" "${CLI}" canonical >/dev/full`;
    const { status, stderr } = spawnSync("sh", ["-c", command], { input: "1\n", encoding: "utf8" });
    assert.equal(status, 1);
    assert.match(stderr, /^error store_full: /);
  });

  it("ends on SIGINT while waiting for input", async () => {
    const child = startSpine(["canonical"]);
    child.stdin.write("1\n");
    await once(child.stdout, "data");
    child.kill("SIGINT");
    assert.deepEqual(await once(child, "close"), [1, null]);
  });

  it("answers a line that is far too long and goes on", async () => {
    const { lines } = await spine(["canonical"], `"${"a".repeat(5_000_000)}"\n7\n`);
    assert.deepEqual(
      lines.map((one) => one["canonical"] ?? one["code"]),
      ["api_input", "7"],
    );
  });

  it("holds little of a long input", async function () {
    this.timeout(60_000);
    const child = startSpine(["canonical"], { NODE_OPTIONS: "--max-old-space-size=48" });
    let bytes = 0;
    child.stdout.on("data", (part: Buffer) => {
      bytes += part.length;
    });
    const block = `${JSON.stringify({ text: "x".repeat(1000) })}\n`.repeat(1000);
    for (let i = 0; i < 150; i++) if (!child.stdin.write(block)) await once(child.stdin, "drain");
    child.stdin.end();
    assert.deepEqual(await once(child, "close"), [0, null]);
    assert.ok(bytes > 150_000_000);
  });
});

describe("spine envelope", () => {
  const text = envelopeText(makeEnvelope("a"));

  it("verifies text and hex, and names what is wrong", async () => {
    const spoilt = text.replace(/"signature":"0x(.)/, (_, digit) => `"signature":"0x${digit === "0" ? "1" : "0"}`);
    const input = [text, spoilt, text.replace('"a"', '"b"'), "{}", "x"].join("\n");
    const { code, lines } = await spine(["envelope", "verify"], input);
    assert.equal(code, 1);
    const { hash } = makeEnvelope("a");
    assert.deepEqual(lines[0], { line: 1, ok: true, envelope_hash: hash, issuer: signer.issuer, seq: 1 });
    assert.deepEqual(
      lines.slice(1).map((one) => one["code"]),
      ["signature_invalid", "hash_mismatch", "envelope_field", "json_syntax"],
    );
    for (const line of lines.slice(1)) assert.equal(typeof line["message"], "string");
    const fromHex = await spine(["envelope", "verify", "--hex"], `${hex(text)}\n`);
    assert.equal(fromHex.code, 0);
    assert.equal(fromHex.lines[0]?.["envelope_hash"], hash);
  });

  it("verifies a thousand from a file, in order", async () => {
    const input = Array.from({ length: 1000 }, (_, i) => envelopeText(makeEnvelope(`${i}`)));
    input[500] = "broken";
    const { lines } = await spine(["envelope", "verify"], input.join("\n"));
    assert.deepEqual(
      lines.map((one) => one["line"]),
      input.map((_, i) => i + 1),
    );
    assert.deepEqual(
      lines.filter((one) => one["ok"] !== true).map((one) => one["line"]),
      [501],
    );
  });

  for (const codec of ["json", "cbor", "compact"])
    it(`encodes and decodes ${codec}`, async () => {
      const encoded = await spine(["envelope", "encode", "--codec", codec], `${text}\n`);
      const [line] = encoded.lines;
      assert.equal(line?.["bytes"], String(line?.["hex"]).length / 2);
      const decoded = await spine(["envelope", "decode", "--codec", codec], `${line?.["hex"]}\n00\n`);
      assert.equal(decoded.lines[0]?.["json"], text);
      assert.equal(decoded.lines[1]?.["code"], codec === "json" ? "json_syntax" : "frame_syntax");
      assert.equal(decoded.code, 1);
    });

  it("names the codecs there are", async () => {
    const encoded = await spine(["envelope", "encode", "--codec", "json"], ` ${text.replace(/,/g, " ,")}\n`);
    assert.equal(encoded.lines[0]?.["hex"], hex(text));
    const unknown = await spine(["envelope", "encode", "--codec", "morse"], text);
    assert.equal(unknown.code, 2);
    assert.match(unknown.err, /error usage: .*supported: json\|cbor\|compact/);
  });
});

describe("spine head verify", () => {
  it("checks fields and signature", async () => {
    const envelope = makeEnvelope("a");
    const draft = draftHead({ issuer: signer.issuer, seq: 1, hash: envelope.hash, sentAt: 1_767_225_600 });
    const text = headText(sealHead(draft, signer.sign(draft.signingBytes)));
    const forged = text.replace('"seq":1', '"seq":2');
    const { code, lines } = await spine(["head", "verify"], [text, forged, "{}"].join("\n"));
    assert.equal(code, 1);
    assert.deepEqual(lines[0], { line: 1, ok: true, issuer: signer.issuer, seq: 1, head_hash: envelope.hash });
    assert.deepEqual(
      lines.slice(1).map((one) => one["code"]),
      ["head_invalid", "head_field"],
    );
  });
});

describe("the command line", () => {
  const folder = temporaryFolders();

  it("loads no network, store, server or schema library to check a case", async () => {
    const hook =
      "export async function resolve(s, c, n) { const r = await n(s, c); process._rawDebug(r.url); return r; }";
    const register = `import { register } from "node:module"; register(${JSON.stringify(`data:text/javascript,${hook}`)});`;
    const options = `--import "data:text/javascript,${encodeURIComponent(register)}"`;
    for (const args of [["canonical"], ["envelope", "verify"], ["head", "verify"]]) {
      const { err } = await spine(args, "{}\n", { NODE_OPTIONS: options });
      assert.match(err, /commands\/[a-z]+\.js/);
      const packages = [...err.matchAll(/node_modules\/((?:@[^/]+\/)?[^/]+)/g)].map((found) => found[1] as string);
      assert.deepEqual(
        [...new Set(packages)].filter((name) => !name.startsWith("@noble/")),
        [],
      );
    }
  });

  it("has help with an example for every verb", async () => {
    const { out, code } = await spine(["help"]);
    assert.equal(code, 0);
    const verbs = out
      .split("\n")
      .filter((line) => /^ {2}[a-z]/.test(line))
      .map((line) => line.trim().split(/ {2,}/)[0] as string);
    assert.ok(verbs.length >= 25, `${verbs.length} verbs`);
    assert.deepEqual(await spine(["help", "--help"]), await spine(["--help"]));
    for (let at = 0; at < verbs.length; at += 4) {
      await Promise.all(
        verbs.slice(at, at + 4).map(async (verb) => {
          const help = await spine([...verb.split(" "), "--help"]);
          assert.equal(help.code, 0, verb);
          assert.ok(help.out.startsWith(`Usage: spine ${verb}`), verb);
          assert.match(help.out, /Example:\n {2}.*spine/, verb);
        }),
      );
    }
  }).timeout(240_000);

  it("refuses what it does not know with exit code 2 and says what it knows", async () => {
    const refusals: [string[], RegExp][] = [
      [["frobnicate"], /unknown verb "frobnicate"; known: init, run/],
      [["envelope", "sing"], /unknown verb "envelope sing"; known: envelope verify, envelope encode/],
      [["envelope"], /unknown verb "envelope"/],
      [["canonical", "--hexx"], /--hexx/],
      [["canonical", "a", "b"], /2 operands/],
      [["sync"], /0 operands/],
      [["canonical", "/nonexistent/file"], /cannot read .*ENOENT/],
      [["run", "--set", "x"], /FIELD=VALUE/],
      [["init", "--name"], /name/],
      [["toString"], /unknown verb/],
    ];
    for (const [args, text] of refusals) {
      const { code, err, out } = await spine([...args, "--dir", join(await folder(), "none")]);
      assert.equal(code, 2, args.join(" "));
      assert.match(err, text);
      assert.match(err, /^error usage: /);
      assert.equal(out, "");
    }
    const bare = await spine([]);
    assert.equal(bare.code, 2);
    assert.match(bare.err, /^Usage: spine/);
    assert.equal((await spine(["version"])).out, "0.1.0\n");
  }).timeout(60_000);

  it("reports errors as JSON when asked", async () => {
    const { err } = await spine(["canonical", "/nonexistent", "--json"]);
    const { error } = JSON.parse(err) as { error: { code: string; hint: string } };
    assert.equal(error.code, "usage");
    assert.ok(error.hint.length > 0);
  });

  it("reads a file as it reads standard input, and refuses a folder", async () => {
    const root = await folder();
    await writeFile(join(root, "cases"), "[1, 2]\n");
    assert.equal((await spine(["canonical", join(root, "cases")])).lines[0]?.["canonical"], "[1,2]");
    await mkdir(join(root, "folder"));
    assert.equal((await spine(["canonical", join(root, "folder")])).code, 2);
  });
});
