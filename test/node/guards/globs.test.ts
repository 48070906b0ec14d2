/** The two glob dialects, linear-time expressions and their prefilter: examples, properties, adversarial inputs. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { compileDomainGlob, domainGlobProblem } from "../../../node/guards/policy/domain-glob.ts";
import { compilePathGlob, pathGlobProblem } from "../../../node/guards/policy/path-glob.ts";
import { mayMatch } from "../../../node/guards/shell/wildcard.ts";
import { requiredLiterals } from "../../../node/guards/text/literals.ts";
import { compileRegex } from "../../../node/guards/text/regex.ts";

describe("path globs", () => {
  const table: readonly (readonly [pattern: string, path: string, matches: boolean])[] = [
    ["**/.env", ".env", true],
    ["**/.env", "a/b/.env", true],
    ["**/.env", "a.env", false],
    ["x/**", "x/", true],
    ["x/**", "x", false],
    ["x/**/y", "x/y", true],
    ["x/**/y", "x/a/b/y", true],
    ["x/**/y", "xy", false],
    ["/a/*.key", "/a/b/c.key", true],
    ["a?c", "a/c", true],
    ["[!a-c]", "d", true],
    ["[!a-c]", "b", false],
    ["[]]", "]", true],
    ["[a-]", "-", true],
    ["a\\b", "a\\b", true],
    ["{a,b}", "a", false],
    ["**", "anything/at/all", true],
    ["é*", "éa", true],
    ["A", "a", false],
    ["?", "\u{1f600}", true],
  ];
  for (const [pattern, path, matches] of table) {
    it(`${pattern} ${matches ? "matches" : "does not match"} ${path}`, () => {
      assert.equal(compilePathGlob(pattern).matches(path), matches);
    });
  }

  for (const pattern of ["a**b", "***", "**a", "a/**b", "x[", "[!]"]) {
    it(`refuses ${pattern}`, () => assert.ok(pathGlobProblem(pattern)));
  }

  it("agrees with a plain recursive matcher", () => {
    const piece = fc.constantFrom("a", "b", "/", "*", "?", "**/", ".");
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 8 }),
        fc.array(fc.constantFrom("a", "b", "/", "."), { maxLength: 8 }),
        (parts, text) => {
          const pattern = parts.join("");
          fc.pre(pathGlobProblem(pattern) === undefined);
          const path = text.join("");
          assert.equal(compilePathGlob(pattern).matches(path), slowMatch(pattern, path), `${pattern} on ${path}`);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it("never throws anything but its own refusal", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (pattern, path) => {
        if (pathGlobProblem(pattern) !== undefined) return;
        assert.equal(typeof compilePathGlob(pattern).matches(path), "boolean");
      }),
    );
  });
});

/** The dialect by definition, exponential and obvious. */
function slowMatch(pattern: string, path: string): boolean {
  if (pattern === "") return path === "";
  if (pattern.startsWith("**/")) {
    if (slowMatch(pattern.slice(3), path)) return true;
    for (let at = 0; at < path.length; at++)
      if (path[at] === "/" && slowMatch(pattern.slice(3), path.slice(at + 1))) return true;
    return false;
  }
  if (pattern[0] === "*") {
    const rest = pattern.replace(/^\*{1,2}/, "");
    for (let at = 0; at <= path.length; at++) if (slowMatch(rest, path.slice(at))) return true;
    return false;
  }
  return path !== "" && (pattern[0] === "?" || pattern[0] === path[0]) && slowMatch(pattern.slice(1), path.slice(1));
}

describe("host globs", () => {
  const table: readonly (readonly [pattern: string, host: string, matches: boolean])[] = [
    ["*.openai.com", "API.openai.com", true],
    ["*.openai.com", "openai.com", false],
    ["*.openai.com", "evilopenai.com", false],
    ["*", "a/b", false],
    ["a**b.example", "axyzb.example", true],
    ["{a,b{1,2}}.example", "b2.example", true],
    ["{a,b}.example", "c.example", false],
    ["api[0-9].example", "api7.example", true],
    ["api[!0-9].example", "api7.example", false],
    ["a.example", "axexample", false],
  ];
  for (const [pattern, host, matches] of table) {
    it(`${pattern} ${matches ? "matches" : "does not match"} ${host}`, () => {
      assert.equal(compileDomainGlob(pattern).matches(host), matches);
    });
  }
  for (const pattern of ["foo[bar", "{a", "a}", "a\\"]) {
    it(`refuses ${pattern}`, () => assert.ok(domainGlobProblem(pattern)));
  }
});

describe("expressions", () => {
  for (const source of ["(a)\\1", "(?=a)b", "(?<!a)b", "(", "a{2000}", "\\"]) {
    it(`refuses ${source}`, () => assert.throws(() => compileRegex(source)));
  }

  it("reads classes as Unicode", () => {
    assert.ok(compileRegex("a\\sb").test("a\u00a0b"));
    assert.ok(compileRegex("^\\d$").test("\u0663"));
    assert.ok(compileRegex("^[\\w-]+$").test("caf\u00e9-x"));
    assert.ok(!compileRegex("^\\W$").test("\u00e9"));
  });

  const samples = [
    "AKIA[0-9A-Z]{16}",
    "(?i)(secret|password|passwd|pwd)['\"]?\\s*[:=]",
    "(?is)\\b(ignore|disregard)\\b.{0,64}\\brules\\b",
    "a?bcd*efg|hij+klm",
    "(?:abc){0,2}defg",
    "(abc|de)",
  ];
  it("prefilters without losing a match", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...samples),
        fc.array(
          fc.constantFrom(
            "AKIA",
            "ABCDEFGH12345678",
            "Secret",
            "PASSWORD",
            ": ",
            "=",
            "ignore",
            "Rules",
            " ",
            "bcd",
            "efg",
            "abc",
            "de",
            "hij",
            "klm",
            "\u017f",
            "\u212a",
          ),
          { maxLength: 12 },
        ),
        (source, parts) => {
          const text = parts.join("");
          const literals = requiredLiterals(source);
          const regex = compileRegex(source);
          // A group around the expression hides its literals from the prefilter.
          const bare = compileRegex(`(?:${source})|[^\\x{0}-\\x{10ffff}]`);
          assert.equal(regex.test(text), bare.test(text), `${source} (${String(literals)}) on ${text}`);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it("finds the same places as it tests", () => {
    const regex = compileRegex("ab+c");
    const text = `${"x".repeat(8190)}abbbc${"y".repeat(20_000)}abc`;
    const spans = regex.find(text, 10);
    assert.deepEqual(
      spans.map(({ start, end }) => text.slice(start, end)),
      ["abbbc", "abc"],
    );
    assert.equal(regex.find(text, 1).length, 1);
  });

  it("answers hostile texts within the mocha time limit", () => {
    const hostile: readonly (readonly [string, string])[] = [
      ["(a+)+$", `${"a".repeat(300_000)}b`],
      ["(a|aa)+$", `${"a".repeat(300_000)}b`],
      ["(?is)\\b(ignore|disregard)\\b.{0,64}\\b(previous)\\b.{0,64}\\b(rules)\\b", "ignore previous ".repeat(20_000)],
      ["(.*)(.*)(.*)(.*)x", "a".repeat(300_000)],
    ];
    for (const [source, text] of hostile) assert.equal(compileRegex(source).test(text), false);
  });
});

describe("wildcards against globs", () => {
  const table: readonly (readonly [word: string, pattern: string, may: boolean])[] = [
    ["/etc/sh*", "/etc/shadow", true],
    ["/etc/ho*", "/etc/shadow", false],
    ["/home/u/.s?h/id_rsa", "**/.ssh/**", true],
    ["/w/*", "**/.env", false],
    ["/w/.*", "**/.env", true],
    ["/w/src/*.ts", "/etc/shadow", false],
    ["/w/[.]env", "**/.env", false],
  ];
  for (const [word, pattern, may] of table) {
    it(`${word} ${may ? "may reach" : "cannot reach"} ${pattern}`, () => assert.equal(mayMatch(word, pattern), may));
  }
});
