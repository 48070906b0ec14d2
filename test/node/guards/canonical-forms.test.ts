/** Path and host forms: every spelling of one target gives one answer; odd input never throws. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { pathMatcher } from "../../../node/guards/forbidden-path.ts";
import { canonicalHost } from "../../../node/guards/host.ts";
import { normalisePath, pathForms } from "../../../node/guards/path-forms.ts";
import { canonicaliseText, utf8Prefix } from "../../../node/guards/text/canonical.ts";
import { textVariants } from "../../../node/guards/text/variants.ts";

describe("path forms", () => {
  const forbidden = pathMatcher(["**/.ssh/**", "/etc/shadow"]);
  const hit = (path: string, cwd?: string, links: Readonly<Record<string, string>> = {}): boolean => {
    const forms = pathForms(path, { cwd, home: "/home/u", readLink: (link) => links[link] }, "spine");
    return forms.problem !== undefined || forbidden(forms.all) !== undefined;
  };

  for (const path of [
    "/home/u/.ssh/id",
    "/home/u/.ssh",
    "~/.ssh/id",
    "/home/u/x/../.ssh/id",
    "//home//u/./.ssh//id",
    "\\home\\u\\.ssh\\id",
    "/home/u/.SSH/id",
    "/home/u/%2essh/id",
    "/home/u/%2Essh%2Fid",
    "file:///home/u/.ssh/id",
    "file://localhost/home/u/.ssh/id",
    "file:/home/u/%2essh/id",
    "/home/u/\uff0essh/id",
    "/home/u/.s\u200bsh/id",
    "/home/u/.ssh./id",
    "/home/u/.ssh /id",
    "/etc/shadow::$DATA",
    "/etc/sh\u0000adow",
  ]) {
    it(`sees through ${JSON.stringify(path)}`, () => assert.ok(hit(path)));
  }

  it("joins the agent's directory", () => {
    assert.ok(hit("shadow", "/etc"));
    assert.ok(hit("../../etc/shadow", "/w/repo"));
    assert.ok(!hit("shadow", "/w"));
  });

  it("follows links as the kernel does", () => {
    assert.ok(hit("a", "/w", { "/w/a": "b", "/w/b": "../home/u/.ssh/id" }));
    assert.ok(hit("d/new/deeper", "/w", { "/w/d": "/home/u/.ssh" }));
    assert.ok(hit("d/../x", "/w", { "/w/d": "/home/u/.ssh/sub" }), "`..` applies to the link's target");
    assert.ok(hit("loop", "/w", { "/w/loop": "loop" }), "a loop is refused");
  });

  it("never throws, and normalising twice changes nothing", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (path) => {
        pathForms(path, { cwd: "/w", home: "/h", readLink: () => undefined }, "spine");
        assert.equal(normalisePath(normalisePath(path)), normalisePath(path));
      }),
    );
  });
});

describe("canonical hosts", () => {
  const same: Readonly<Record<string, readonly string[]>> = {
    "evil.example": [
      "evil.example",
      "EVIL.example.",
      "https://evil.example/x?y",
      "user:pw@evil.example:8080",
      "evil\u3002example",
      "ev\u200bil.example",
      "\uff45vil.example",
      "http://evil.example\\@api.openai.com/",
    ],
    "169.254.169.254": [
      "169.254.169.254",
      "169.254.169.254.",
      "2852039166",
      "0xa9fea9fe",
      "0251.0376.0251.0376",
      "169.254.43518",
      "[::ffff:169.254.169.254]",
      "::ffff:a9fe:a9fe",
      "[64:ff9b::a9fe:a9fe]:80",
      "http://169.254.169.254/latest/meta-data",
    ],
    "127.0.0.1": ["127.1", "0177.0.0.1", "0x7f000001", "2130706433"],
    "xn--bcher-kva.example": ["b\u00fccher.example", "xn--bcher-kva.example"],
    "::1": ["[::1]:80", "::1", "[0:0:0:0:0:0:0:1]"],
  };
  for (const [host, spellings] of Object.entries(same)) {
    for (const spelling of spellings) {
      it(`${JSON.stringify(spelling)} is ${host}`, () => {
        const got = canonicalHost(spelling);
        assert.equal(typeof got === "string" ? got : got.host, host);
      });
    }
  }

  for (const odd of [
    "",
    " ",
    ".openai.com",
    "a..b",
    "a b",
    "exa\nmple",
    "http://",
    "[::1",
    "a:b:c",
    "-a.example",
    "x:99999999",
  ]) {
    it(`refuses ${JSON.stringify(odd)}`, () => assert.equal(typeof canonicalHost(odd), "string"));
  }

  it("takes the port from the target, then the caller, then the scheme", () => {
    const port = (target: string, given?: number): unknown => {
      const got = canonicalHost(target, given);
      return typeof got === "string" ? got : got.port;
    };
    assert.equal(port("a.example:81", 443), 81);
    assert.equal(port("a.example", 82), 82);
    assert.equal(port("http://a.example"), 80);
    assert.equal(port("a.example"), 443);
  });

  it("never throws, and is its own canonical form", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.webUrl(), fc.ipV4(), fc.ipV6(), fc.domain()), (target) => {
        const got = canonicalHost(target);
        if (typeof got === "string") return;
        const again = canonicalHost(got.host, got.port);
        assert.equal(typeof again === "string" ? again : again.host, got.host);
      }),
    );
  });
});

describe("text forms", () => {
  it("cuts a prefix at a character boundary", () => {
    assert.equal(utf8Prefix("\u00e9\u00e9\u00e9", 5), "\u00e9\u00e9");
    assert.equal(utf8Prefix("\u{1f600}x", 3), "");
    assert.equal(utf8Prefix("abc", 3), "abc");
  });

  it("never throws on any text, and stays bounded", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 400 }), (text) => {
        const form = canonicaliseText(text, 300, true);
        assert.ok(form.scannedBytes <= 300);
        assert.ok(textVariants(text, form.text, 300).length <= 200);
      }),
    );
  });
});
