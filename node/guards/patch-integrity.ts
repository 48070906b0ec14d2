/** Patches (spec/guards.md section 2.6): size, balance and forbidden content of added lines; also modes, links and binaries. */
import { type Diff, parseDiff } from "./diff.ts";
import type { Guard } from "./guard.ts";
import type { PatchIntegrityPolicy } from "./policy/effective.ts";
import { stripInvisible } from "./text/canonical.ts";
import { compileRegex, foldCase, type LinearRegex } from "./text/regex.ts";
import { foldConfusables } from "./text/variants.ts";
import { allow, deny, type GuardResult, warn } from "./verdict.ts";

const NAME = "patch_integrity";

/** Added content that is seldom right and sometimes is: a person should see it. `spine` rule book only. */
const RISKY: readonly (readonly [string, string])[] = [
  ["tls_check_off", "(?i)\\bverify(?:_ssl|_certs?)?\\s*[:=]\\s*(?:false|0|none)\\b"],
  ["tls_check_off", "(?i)NODE_TLS_REJECT_UNAUTHORIZED['\"]?\\s*\\]?\\s*[:=]\\s*['\"]?0"],
  [
    "tls_check_off",
    "(?i)\\b(?:strict[_-]?ssl|sslverify|ssl_verify|rejectUnauthorized|check_hostname)['\"]?\\s*[:=]\\s*['\"]?(?:false|no|0)\\b",
  ],
  [
    "tls_check_off",
    "(?i)\\b(?:CERT_NONE|_create_unverified_context|InsecureSkipVerify|danger_accept_invalid_certs|CURLOPT_SSL_VERIFYPEER)\\b",
  ],
  [
    "command_execution",
    "\\b(?:os\\.(?:system|popen|exec[lv]p?e?)|subprocess\\.(?:call|run|Popen|check_output|getoutput)|child_process|Runtime\\.getRuntime\\(\\)\\.exec|shell_exec|passthru|proc_open)\\b",
  ],
  ["command_execution", "(?i)\\bsystem\\s*\\("],
  [
    "code_loading",
    "(?i)\\b(?:__import__|importlib\\.import_module|new\\s+Function|pickle\\.loads?|marshal\\.loads|yaml\\.unsafe_load)\\s*\\(",
  ],
  ["pipe_to_shell", "(?i)\\b(?:curl|wget)\\b[^|\\n]*\\|\\s*(?:sudo\\s+)?(?:ba|z|da|k)?sh\\b"],
  [
    "tls_check_off",
    "(?i)\\bsslverify\\s+(?:false|0|no)\\b|\\bPYTHONHTTPSVERIFY\\b|\\bStrictHostKeyChecking[\\s=]+no\\b",
  ],
  ["remote_shell", "/dev/(?:tcp|udp)/|\\bn(?:et)?c(?:at)?\\s+(?:\\S+\\s+)*-[a-z]*e\\b"],
  ["pipe_to_shell", "(?i)\\bbase64\\s+(?:-d|-D|--decode)\\b[^|\\n]*\\|\\s*(?:sudo\\s+)?(?:ba|z|da|k)?sh\\b"],
  ["open_permissions", "\\bchmod\\s+(?:-\\w+\\s+)*(?:[augo]*\\+?=?rwx|a\\+w|o\\+w)\\b"],
  ["checks_skipped", "\\s--no-verify\\b|^\\s*--no-verify\\b"],
  ["any_origin", "(?i)allow[_-]?origins?['\"]?\\s*[:=,]\\s*\\[?\\s*['\"]\\*"],
  ["auth_weakened", "(?i)\\b(?:no|ignore|bypass)[\\s_-]*(?:auth|authentication|verification)\\b"],
];

export function patchIntegrityGuard(policy: PatchIntegrityPolicy): Guard {
  const patterns = policy.forbidden_patterns.map((source) => compileRegex(source));
  const risky = RISKY.map(([reason, source]) => ({ reason, regex: compileRegex(source) }));
  return {
    name: NAME,
    check: (action, context) => {
      if (action.type !== "patch") return undefined;
      if (context.dialect === "spine") return careful(action.diff, policy, patterns, risky);
      const { added, removed } = upstreamLines(action.diff);
      const hits = added.reduce((sum, line) => sum + patterns.filter((regex) => regex.test(line)).length, 0);
      return judge(policy, added.length, removed, hits, {}) ?? allow(NAME);
    },
  };
}

/** Line by line, whatever a line's place: `+++` and `---` are headers (section 2.6). */
function upstreamLines(diff: string): { added: readonly string[]; removed: number } {
  const lines = diff.split(/\r?\n/);
  return {
    added: lines.filter((line) => line.startsWith("+") && !line.startsWith("+++")),
    removed: lines.filter((line) => line.startsWith("-") && !line.startsWith("---")).length,
  };
}

function careful(
  text: string,
  policy: PatchIntegrityPolicy,
  patterns: readonly LinearRegex[],
  risky: readonly { readonly reason: string; readonly regex: LinearRegex }[],
): GuardResult {
  const diff = parseDiff(text);
  const readings = addedReadings(diff);
  const folded = readings.map(foldCase);
  const hits = patterns.filter((regex) => readings.some((reading, at) => regex.test(reading, folded[at])));
  const details = { files: diff.files.length, patterns: hits.map((regex) => regex.source) };
  // A new file has nothing to remove: its lines do not count against the balance.
  const created = diff.files.reduce((sum, file) => sum + (file.created ? file.additions : 0), 0);
  const verdict = judge(policy, diff.added.length, diff.removed, hits.length, details, diff.added.length - created);
  if (verdict !== undefined) return verdict;
  const evidence = { ...details, additions: diff.added.length, deletions: diff.removed };
  const say = (reason: string, message: string): GuardResult => warn(NAME, message, reason, evidence);
  for (const file of diff.files) {
    const mode = file.newMode === undefined ? 0 : Number.parseInt(file.newMode, 8);
    if ((mode & 0o7000) !== 0 && mode >> 12 === 8) return say("special_mode", `Patch sets mode ${file.newMode}`);
    if (mode >> 12 === 10) return say("symlink", "Patch creates a symbolic link");
    if (mode >> 12 === 14) return say("submodule", "Patch changes a submodule");
    if (file.binary) return say("binary", "Patch changes a binary file that cannot be judged");
  }
  const risk = risky.find(({ regex }) => readings.some((reading, at) => regex.test(reading, folded[at])));
  if (risk !== undefined) return say(risk.reason, `Patch adds risky content: ${risk.reason}`);
  if (!diff.recognised) return say("not_a_patch", "Patch text holds nothing a patch is made of");
  return allow(NAME, evidence);
}

/** The added lines joined, and as they read without look-alikes, extra blanks, and line continuations. */
function addedReadings(diff: Diff): readonly string[] {
  const plain = diff.added.join("\n");
  const joined = plain.replace(/\\\n\s*/g, "");
  const folded = foldConfusables(stripInvisible(joined.normalize("NFKC")));
  return [...new Set([plain, joined, folded, folded.replace(/[ \t]+/g, " ")])];
}

function judge(
  policy: PatchIntegrityPolicy,
  additions: number,
  deletions: number,
  hits: number,
  extra: Readonly<Record<string, unknown>>,
  balanced = additions,
): GuardResult | undefined {
  const ratio = balanced === 0 && deletions === 0 ? 1 : balanced / deletions;
  const details = {
    additions,
    deletions,
    imbalance_ratio: Number.isFinite(ratio) ? ratio : null,
    forbidden_matches: hits,
    ...extra,
  };
  if (hits > 0)
    return deny(NAME, "critical", `Patch adds forbidden content (${hits} matches)`, "forbidden_pattern", details);
  if (additions > policy.max_additions) {
    return deny(
      NAME,
      "error",
      `Patch adds ${additions} lines, limit ${policy.max_additions}`,
      "too_many_additions",
      details,
    );
  }
  if (deletions > policy.max_deletions) {
    return deny(
      NAME,
      "error",
      `Patch removes ${deletions} lines, limit ${policy.max_deletions}`,
      "too_many_deletions",
      details,
    );
  }
  if (policy.require_balance && ratio > policy.max_imbalance_ratio) {
    return deny(NAME, "error", "Patch adds far more than it removes", "imbalanced", details);
  }
  return undefined;
}
