/**
 * What a guard does when its policy section is absent (code defaults, spec/guards.md section 2), per rule book. The
 * `spine` lists are longer and more exact than upstream's; `policy/rulesets.ts` builds on them. Pure data.
 */
import type { Dialect } from "../dialect.ts";
import type { Severity } from "../verdict.ts";

export interface SecretPattern {
  readonly name: string;
  readonly pattern: string;
  readonly severity: Severity;
  readonly description?: string;
  readonly luhn_check: boolean;
  readonly masking?: { readonly first: number; readonly last: number };
}

/** The lists that differ between rule books. */
export interface CodeDefaults {
  readonly forbiddenPaths: readonly string[];
  readonly forbiddenExceptions: readonly string[];
  readonly egressAllow: readonly string[];
  readonly secretPatterns: readonly SecretPattern[];
  readonly secretSkipPaths: readonly string[];
  readonly patchPatterns: readonly string[];
  readonly shellPatterns: readonly string[];
  readonly mcpBlock: readonly string[];
  readonly mcpConfirm: readonly string[];
}

const UPSTREAM_FORBIDDEN = [
  "**/.ssh/**",
  "**/id_rsa*",
  "**/id_ed25519*",
  "**/id_ecdsa*",
  "**/.aws/**",
  "**/.env",
  "**/.env.*",
  "**/.git-credentials",
  "**/.gitconfig",
  "**/.gnupg/**",
  "**/.kube/**",
  "**/.docker/**",
  "**/.npmrc",
  "**/.password-store/**",
  "**/pass/**",
  "**/.1password/**",
  "/etc/shadow",
  "/etc/passwd",
  "/etc/sudoers",
];

/** Two upstream patterns hit ordinary source trees; these name what they meant. */
const NARROWED: Readonly<Record<string, readonly string[]>> = {
  "**/.docker/**": [
    "/home/*/.docker/**",
    "/root/.docker/**",
    "/Users/*/.docker/**",
    "~/.docker/**",
    "**/.docker/config.json",
  ],
  "**/pass/**": [],
};

const FURTHER_FORBIDDEN = [
  "/etc/shadow-",
  "/etc/gshadow*",
  "/etc/passwd-",
  "/etc/sudoers.d/**",
  "/etc/ssh/ssh_host_*",
  "/etc/kubernetes/**",
  "/proc/*/environ",
  "/proc/*/mem",
  "/proc/kcore",
  "/proc/*/task/*/environ",
  "/proc/*/task/*/mem",
  "/dev/mem",
  "/dev/kmem",
  "/dev/port",
  "/dev/sd[a-z]*",
  "/dev/nvme[0-9]*",
  "/dev/vd[a-z]*",
  "/dev/xvd[a-z]*",
  "/dev/mmcblk[0-9]*",
  "/dev/mapper/**",
  "/dev/disk/**",
  "/etc/ssl/private/**",
  "**/.env~",
  "**/.codex/auth.json",
  "**/.claude/.credentials.json",
  "**/.gemini/oauth_creds.json",
  "**/.config/github-copilot/**",
  "**/.local/share/opencode/auth.json",
  "/var/run/docker.sock",
  "/run/docker.sock",
  "/var/run/secrets/**",
  "/run/secrets/**",
  "**/.netrc",
  "**/_netrc",
  "**/.pgpass",
  "**/.my.cnf",
  "**/.pypirc",
  "**/.envrc",
  "**/.htpasswd",
  "**/.vault-token",
  "**/.config/gh/hosts.yml",
  "**/.config/glab-cli/**",
  "**/.config/gcloud/**",
  "**/.config/rclone/rclone.conf",
  "**/.config/op/**",
  "**/.azure/**",
  "**/.cargo/credentials",
  "**/.cargo/credentials.toml",
  "**/.gem/credentials",
  "**/.m2/settings.xml",
  "**/.gradle/gradle.properties",
  "**/.terraform.d/credentials.tfrc.json",
  "**/.terraformrc",
  "**/.oci/**",
  "**/.boto",
  "**/.s3cfg",
  "**/.databrickscfg",
  "**/.huggingface/token",
  "**/.cache/huggingface/token",
  "**/.bash_history",
  "**/.zsh_history",
  "**/.python_history",
  "**/.psql_history",
  "**/.mysql_history",
  "**/.node_repl_history",
  "**/.local/share/keyrings/**",
  "**/.local/share/kwalletd/**",
  "**/Library/Keychains/**",
  "**/.mozilla/**/logins.json",
  "**/.mozilla/**/key4.db",
  "**/.mozilla/**/cookies.sqlite",
  "**/google-chrome/**/Login Data",
  "**/google-chrome/**/Cookies",
  "**/chromium/**/Login Data",
  "**/chromium/**/Cookies",
  "**/id_dsa*",
  "**/.config/git/credentials",
  "**/.config/hub",
  "**/.config/doctl/**",
  "**/config/master.key",
  "**/.subversion/auth/**",
  "**/.composer/auth.json",
  "**/.rclone.conf",
  "**/.mylogin.cnf",
  "**/.dbt/profiles.yml",
  "**/.snowflake/**",
  "**/.fly/config.yml",
  "/private/etc/shadow",
  "/private/etc/passwd",
  "/private/etc/master.passwd",
  "/private/etc/sudoers",
  "/etc/master.passwd",
  "**/*.kdbx",
  "**/AppData/Roaming/Microsoft/Credentials/**",
  "**/AppData/Local/Microsoft/Credentials/**",
  "**/Windows/System32/config/SAM",
  "**/Windows/System32/config/SECURITY",
  "**/Windows/System32/config/SYSTEM",
  "**/NTUSER.DAT",
];

export const SPINE_FORBIDDEN: readonly string[] = [
  ...UPSTREAM_FORBIDDEN.flatMap((pattern) => NARROWED[pattern] ?? [pattern]),
  ...FURTHER_FORBIDDEN,
];

/** Files that look forbidden and hold no secret: templates of environment files and public halves of keys. */
export const HARMLESS_FILES: readonly string[] = [
  "**/.env.example",
  "**/.env.sample",
  "**/.env.template",
  "**/.env.dist",
  "**/.env.*.example",
  "**/.env.*.sample",
  "**/.env.*.template",
  "**/id_rsa.pub",
  "**/id_ed25519.pub",
  "**/id_ecdsa.pub",
  "**/id_dsa.pub",
];

export const MODEL_HOSTS: readonly string[] = ["*.openai.com", "*.anthropic.com"];

function secret(name: string, pattern: string, severity: Severity = "critical"): SecretPattern {
  return { name, pattern, severity, luhn_check: false };
}

const UPSTREAM_SECRETS: readonly SecretPattern[] = [
  secret("aws_access_key", "AKIA[0-9A-Z]{16}"),
  secret("aws_secret_key", "(?i)aws[_\\-]?secret[_\\-]?access[_\\-]?key['\"]?\\s*[:=]\\s*['\"]?[A-Za-z0-9/+=]{40}"),
  secret("github_token", "gh[ps]_[A-Za-z0-9]{36}"),
  secret("github_pat", "github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
  secret("openai_key", "sk-[A-Za-z0-9]{48}"),
  secret("anthropic_key", "sk-ant-[A-Za-z0-9\\-]{95}"),
  secret("private_key", "-----BEGIN\\s+(RSA\\s+)?PRIVATE\\s+KEY-----"),
  secret("npm_token", "npm_[A-Za-z0-9]{36}"),
  secret("slack_token", "xox[baprs]-[0-9]{10,13}-[0-9]{10,13}[a-zA-Z0-9-]*"),
  secret("generic_api_key", "(?i)(api[_\\-]?key|apikey)['\"]?\\s*[:=]\\s*['\"]?[A-Za-z0-9]{32,}", "warning"),
  secret(
    "generic_secret",
    "(?i)(secret|password|passwd|pwd)['\"]?\\s*[:=]\\s*['\"]?[A-Za-z0-9!@#$%^&*]{8,}",
    "warning",
  ),
];

/** Skips test trees, where upstream expects made-up secrets. */
const SKIP_PATHS = ["**/test/**", "**/tests/**", "**/*_test.*", "**/*.test.*"];

const UPSTREAM_PATCH = [
  "(?i)disable[ _\\-]?(security|auth|ssl|tls)",
  "(?i)skip[ _\\-]?(verify|validation|check)",
  "(?i)rm\\s+-rf\\s+/",
  "(?i)chmod\\s+777",
  "(?i)eval\\s*\\(",
  "(?i)exec\\s*\\(",
  "(?i)reverse[_\\-]?shell",
  "(?i)bind[_\\-]?shell",
  "base64[_\\-]?decode.*exec",
];

/** `rm -rf` of the root or a system tree, in any flag order; not of temporary directories. */
const RM_SYSTEM =
  "(?i)\\brm\\s+(?:-{1,2}[a-z\\-]+\\s+)*-[a-z]*r[a-z]*\\s+(?:-{1,2}[a-z\\-]+\\s+)*[\"']?/(?:[\\s\"'*;&|#)]|$|(?:bin|boot|dev|etc|home|lib|lib64|opt|root|sbin|srv|sys|usr|var)(?:[^a-z]|$))";

export const SPINE_PATCH: readonly string[] = [
  "(?i)disable[\\s_\\-]*(security|auth|ssl|tls)",
  "(?i)skip[\\s_\\-]*(verif(?:y|ication)|validation|check)",
  RM_SYSTEM,
  "(?i)chmod\\s+(?:-R\\s+)?0?777",
  "(?i)(?:^|[^\\w.])eval\\s*\\(",
  "(?i)(?:^|[^\\w.])exec\\s*\\(",
  "(?i)reverse[\\s_\\-]*shell",
  "(?i)bind[\\s_\\-]*shell",
  "(?i)base64[_\\-]?decode.*exec",
];

const UPSTREAM_SHELL = [
  "(?i)\\brm\\s+(-rf?|--recursive)\\s+/\\s*(?:$|\\*)",
  "(?i)\\b(curl|wget)\\b[^|]*\\|\\s*(bash|sh|zsh)\\b",
  "(?i)\\bnc\\s+[^\\n]*\\s+-e\\s+",
  "(?i)\\bbash\\s+-i\\s+>&\\s+/dev/tcp/",
  "(?i)\\bbase64\\b[^|]*\\|\\s*(curl|wget|nc)\\b",
];

const MCP_BLOCK = ["shell_exec", "run_command", "raw_file_write", "raw_file_delete"];
const MCP_CONFIRM = ["file_write", "file_delete", "git_push"];

const UPSTREAM: CodeDefaults = {
  forbiddenPaths: UPSTREAM_FORBIDDEN,
  forbiddenExceptions: [],
  egressAllow: [...MODEL_HOSTS, "api.github.com"],
  secretPatterns: UPSTREAM_SECRETS,
  secretSkipPaths: SKIP_PATHS,
  patchPatterns: UPSTREAM_PATCH,
  shellPatterns: UPSTREAM_SHELL,
  mcpBlock: MCP_BLOCK,
  mcpConfirm: MCP_CONFIRM,
};

const SPINE: CodeDefaults = {
  ...UPSTREAM,
  forbiddenPaths: SPINE_FORBIDDEN,
  forbiddenExceptions: HARMLESS_FILES,
  // The scanner's formats are looked for instead.
  secretPatterns: [],
  patchPatterns: SPINE_PATCH,
};

export function codeDefaults(dialect: Dialect): CodeDefaults {
  return dialect === "spine" ? SPINE : UPSTREAM;
}

/** Listed by the computer-use guard when its section is absent. */
export const COMPUTER_USE_ACTIONS: readonly string[] = [
  "remote.session.connect",
  "remote.session.disconnect",
  "remote.session.reconnect",
  "input.inject",
  "remote.clipboard",
  "remote.file_transfer",
  "remote.audio",
  "remote.drive_mapping",
  "remote.printing",
  "remote.session_share",
];

export const INPUT_TYPES: readonly string[] = ["keyboard", "mouse", "touch"];

/** Weights of the jailbreak guard's linear layer. */
export const LINEAR_MODEL: Readonly<Record<string, number>> = {
  bias: -2,
  w_ignore_policy: 2.5,
  w_dan: 2,
  w_role_change: 1.5,
  w_prompt_extraction: 2.2,
  w_encoded: 1,
  w_punct: 2,
  w_symbol_run: 1.5,
};
