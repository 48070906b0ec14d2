/**
 * The built-in rulesets as policy documents. The lists are ours; for the upstream rule books the same rulesets are given
 * with the shorter lists upstream documents (spec/guards.md section 1.8). No package registry is named: operators add theirs.
 */
import { stringify } from "yaml";
import type { Dialect } from "../dialect.ts";
import { codeDefaults, type SecretPattern, SPINE_FORBIDDEN, SPINE_PATCH } from "./defaults.ts";
import type { Json } from "./shape.ts";

export const RULESETS = ["default", "strict", "ai-agent", "cicd", "permissive"] as const;
export type RulesetName = (typeof RULESETS)[number];

export function isRuleset(name: string): name is RulesetName {
  return RULESETS.some((ruleset) => ruleset === name);
}

const CODE_HOSTS = ["api.github.com", "github.com", "*.githubusercontent.com"];
const MORE_CODE_HOSTS = ["gitlab.com", "api.gitlab.com"];
const MODEL_HOSTS = ["*.openai.com", "*.anthropic.com"];

const STRICT_PATHS = ["**/.vault/**", "**/.secrets/**", "**/credentials/**", "**/private/**"];
const CI_PATHS = ["**/.github/secrets/**", "**/.gitlab-ci-secrets/**", "**/.circleci/secrets/**"];

/** Patterns that upstream lists leave out of the shorter rulesets, although their authors wanted the files there. */
const AGENT_OMITS = [
  "**/id_ecdsa*",
  "**/.gitconfig",
  "**/.password-store/**",
  "**/pass/**",
  "**/.1password/**",
  "/etc/sudoers",
];

const WIDE_PATCH = ["(?i)disable[\\s_\\-]?(security|auth|ssl|tls)", "(?i)rm\\s+-rf\\s+/", "(?i)chmod\\s+777"];
const SKIP_VERIFY = "(?i)skip[\\s_\\-]?(verify|validation|check)";
const [DISABLE, SKIP, RM, CHMOD, EVAL, EXEC, REVERSE, BIND] = SPINE_PATCH as readonly [
  string,
  string,
  string,
  string,
  string,
  string,
  string,
  string,
  ...string[],
];

/** In our own rule book the scanner's formats take the place of upstream's expressions of the same names. */
function secrets(dialect: Dialect, names: readonly string[], extra: readonly SecretPattern[] = []): Json {
  const chosen = codeDefaults("sdr-execution").secretPatterns.filter((pattern) => names.includes(pattern.name));
  const listed = dialect === "spine" ? [] : chosen;
  return [...listed, ...extra].map(({ name, pattern, severity }) => ({ name, pattern, severity }));
}

function patch(
  additions: number,
  deletions: number,
  ratio: number,
  patterns: readonly string[],
  balance = false,
): Json {
  return {
    max_additions: additions,
    max_deletions: deletions,
    require_balance: balance,
    max_imbalance_ratio: ratio,
    forbidden_patterns: patterns,
  };
}

function guardsOf(name: RulesetName, dialect: Dialect): Json {
  const ours = dialect === "spine";
  const forbidden = ours ? SPINE_FORBIDDEN : codeDefaults(dialect).forbiddenPaths;
  const harmless = codeDefaults(dialect).forbiddenExceptions;
  switch (name) {
    case "default":
      return {
        forbidden_path: { patterns: forbidden, exceptions: harmless },
        egress_allowlist: { allow: [...MODEL_HOSTS, ...CODE_HOSTS], block: [], default_action: "block" },
        secret_leak: {
          patterns: secrets(dialect, ["aws_access_key", "github_token", "openai_key", "private_key"]),
          skip_paths: ["**/test/**", "**/tests/**", "**/*_test.*", "**/*.test.*"],
        },
        patch_integrity: patch(1000, 500, 10, ours ? [DISABLE, SKIP, RM, CHMOD] : [...WIDE_PATCH, SKIP_VERIFY]),
        mcp_tool: {
          allow: [],
          block: codeDefaults(dialect).mcpBlock,
          require_confirmation: codeDefaults(dialect).mcpConfirm,
          default_action: "allow",
          max_args_size: 1_048_576,
        },
      };
    case "strict": {
      const generic = {
        name: "generic_api_key",
        pattern: "(?i)(api[_\\-]?key|apikey)\\s*[:=]\\s*[A-Za-z0-9]{32,}",
        severity: "error",
        luhn_check: false,
      } as const;
      const known = [
        "aws_access_key",
        "github_token",
        "openai_key",
        "anthropic_key",
        "private_key",
        "npm_token",
        "slack_token",
      ];
      const upstream = codeDefaults("sdr-execution").patchPatterns;
      return {
        forbidden_path: { patterns: [...forbidden, ...STRICT_PATHS], exceptions: [] },
        egress_allowlist: { allow: [], block: [], default_action: "block" },
        secret_leak: { patterns: secrets(dialect, known, [generic]), skip_paths: ["**/test/**", "**/tests/**"] },
        patch_integrity: patch(
          500,
          200,
          5,
          ours
            ? [DISABLE, SKIP, RM, CHMOD, EVAL, EXEC, REVERSE, BIND]
            : [...WIDE_PATCH, SKIP_VERIFY, ...upstream.slice(4, 8)],
          true,
        ),
        mcp_tool: {
          allow: ["read_file", "list_directory", "search", "grep"],
          block: [],
          require_confirmation: [],
          default_action: "block",
          max_args_size: 524_288,
        },
      };
    }
    case "ai-agent":
      return {
        forbidden_path: {
          patterns: ours
            ? forbidden
            : forbidden
                .filter((pattern) => !AGENT_OMITS.includes(pattern))
                .flatMap((pattern) => (pattern === "**/.env.*" ? ["**/.env.local", "**/.env.production"] : [pattern])),
          exceptions: [...new Set(["**/.env.example", "**/.env.template", ...harmless])],
        },
        egress_allowlist: {
          allow: [
            ...MODEL_HOSTS,
            "api.together.xyz",
            "*.fireworks.ai",
            ...CODE_HOSTS,
            ...MORE_CODE_HOSTS,
            "bitbucket.org",
            "api.bitbucket.org",
            "docs.rs",
            "*.readthedocs.io",
            "*.readthedocs.org",
            "developer.mozilla.org",
          ],
          block: [],
          default_action: "block",
        },
        secret_leak: {
          patterns: secrets(dialect, ["aws_access_key", "github_token", "openai_key", "anthropic_key", "private_key"]),
          skip_paths: [
            "**/test/**",
            "**/tests/**",
            "**/__tests__/**",
            "**/*.test.*",
            "**/*.spec.*",
            "**/fixtures/**",
            "**/mocks/**",
          ],
        },
        patch_integrity: patch(
          2000,
          1000,
          20,
          ours ? [DISABLE, RM, CHMOD, REVERSE] : [...WIDE_PATCH, "(?i)reverse[_\\-]?shell"],
        ),
        mcp_tool: {
          allow: [],
          block: ["shell_exec", "run_command"],
          require_confirmation: ["git_push", "deploy", "publish"],
          default_action: "allow",
          max_args_size: 2_097_152,
        },
      };
    case "cicd": {
      const docker = {
        name: "docker_auth",
        pattern: "(?i)docker[_\\-]?(password|token)\\s*[:=]",
        severity: "critical",
        luhn_check: false,
      } as const;
      const kept = [
        "**/.ssh/**",
        "**/id_rsa*",
        "**/id_ed25519*",
        "**/.aws/**",
        "**/.gnupg/**",
        "/etc/shadow",
        "/etc/passwd",
      ];
      // Pipelines write their own dotenv files; the rest of our list stays.
      const dotenv = ["**/.env", "**/.env.*", "**/.envrc"];
      return {
        forbidden_path: {
          patterns: [...CI_PATHS, ...(ours ? forbidden.filter((pattern) => !dotenv.includes(pattern)) : kept)],
          exceptions: ["**/.github/workflows/**", "**/.gitlab-ci.yml", "**/.circleci/config.yml", ...harmless],
        },
        egress_allowlist: {
          allow: [
            "storage.googleapis.com",
            "*.docker.io",
            "*.docker.com",
            "*.gcr.io",
            "ghcr.io",
            "*.ecr.aws",
            ...CODE_HOSTS,
            ...MORE_CODE_HOSTS,
            "gradle.org",
            "plugins.gradle.org",
          ],
          block: [],
          default_action: "block",
        },
        secret_leak: {
          patterns: secrets(dialect, ["aws_access_key", "github_token", "private_key"], [docker]),
          skip_paths: ["**/test/**", "**/tests/**"],
        },
        patch_integrity: patch(5000, 2500, 50, ours ? [DISABLE, RM, CHMOD] : WIDE_PATCH),
        mcp_tool: {
          allow: ["read_file", "write_file", "list_directory", "run_tests", "build"],
          block: ["shell_exec", "deploy_production"],
          require_confirmation: [],
          default_action: "block",
          max_args_size: 5_242_880,
        },
      };
    }
    case "permissive":
      return {
        egress_allowlist: { allow: ["*"], block: [], default_action: "allow" },
        patch_integrity: {
          max_additions: 10_000,
          max_deletions: 5000,
          require_balance: false,
          max_imbalance_ratio: 50,
        },
      };
  }
}

const ABOUT: Readonly<Record<RulesetName, readonly [string, string, Json]>> = {
  default: ["Default", "Balanced rules for agents on a workstation", settings(false, false, 3600)],
  strict: ["Strict", "No egress, a short tool list, small balanced patches", settings(true, false, 1800)],
  "ai-agent": [
    "AI Agent",
    "For coding assistants: documentation and code hosts, larger patches",
    settings(false, false, 7200),
  ],
  cicd: ["CI/CD", "For build pipelines: image hosts, a closed tool list", settings(true, true, 1800)],
  permissive: [
    "Permissive",
    "For development: open egress, large patches, code defaults elsewhere",
    settings(false, true, 7200),
  ],
};

function settings(failFast: boolean, verbose: boolean, seconds: number): Json {
  return { fail_fast: failFast, verbose_logging: verbose, session_timeout_secs: seconds };
}

/** The ruleset as YAML text, as `policy show` prints it and `extends` reads it. */
export function rulesetYaml(name: RulesetName, dialect: Dialect): string {
  const [title, description, chosen] = ABOUT[name];
  return stringify(
    { version: "1.1.0", name: title, description, guards: guardsOf(name, dialect), settings: chosen },
    { lineWidth: 0, aliasDuplicateObjects: false },
  );
}
