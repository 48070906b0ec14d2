/**
 * Credentials made up at run time from a seed, right in every detail their issuers document, check digits included; no
 * literal of them is in the repository. One generator per format; `secret-contexts.ts` puts them where secrets stand.
 */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";

export interface SecretKind {
  readonly kind: string;
  /** A name such a secret is kept under; for those that have no prefix it is what gives them away. */
  readonly variable: string;
  readonly make: (draw: Draw) => string;
}

const LOWER = "abcdefghijklmnopqrstuvwxyz";
const UPPER = LOWER.toUpperCase();
const DIGIT = "0123456789";
const BASE62 = DIGIT + UPPER + LOWER;
const BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/** Draws from SHA-256 in counter mode: the same seed gives the same corpus everywhere. */
export class Draw {
  readonly #seed: string;
  #counter = 0;
  #pool = Buffer.alloc(0);
  constructor(seed: string) {
    this.#seed = seed;
  }
  bytes(count: number): Buffer {
    while (this.#pool.length < count) {
      const next = createHash("sha256")
        .update(`${this.#seed}/${this.#counter++}`)
        .digest();
      this.#pool = Buffer.concat([this.#pool, next]);
    }
    const out = this.#pool.subarray(0, count);
    this.#pool = this.#pool.subarray(count);
    return Buffer.from(out);
  }
  below(limit: number): number {
    return this.bytes(4).readUInt32LE() % limit;
  }
  of(alphabet: string, count: number): string {
    return Array.from({ length: count }, () => alphabet.charAt(this.below(alphabet.length))).join("");
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
  alnum(count: number): string {
    return this.of(BASE62, count);
  }
  hex(count: number): string {
    return this.of("0123456789abcdef", count);
  }
  url(count: number): string {
    return this.of(`${BASE62}_-`, count);
  }
  digits(count: number): string {
    return this.of("123456789", 1) + this.of(DIGIT, count - 1);
  }
  uuid(): string {
    const hex = this.hex(30);
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(12, 15)}-a${hex.slice(15, 18)}-${hex.slice(18, 30)}`;
  }
}

function base62Crc(text: string): string {
  let rest = crc32(text);
  let out = "";
  while (out.length < 6) {
    out = BASE62.charAt(rest % 62) + out;
    rest = Math.floor(rest / 62);
  }
  return out;
}

function withCrc(prefix: string): SecretKind["make"] {
  return (draw) => {
    const body = draw.alnum(30);
    return prefix + body + base62Crc(body);
  };
}

function grafana(draw: Draw): string {
  const body = `glsa_${draw.alnum(32)}`;
  const sum = Buffer.alloc(4);
  sum.writeUInt32LE(crc32(body));
  return `${body}_${sum.toString("hex")}`;
}

/** Bech32 (BIP 173) of 32 bytes under age's prefix. */
function age(draw: Draw): string {
  const bits = [...draw.bytes(32)].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  const data = Array.from({ length: 52 }, (_, at) => Number.parseInt(bits.slice(at * 5, at * 5 + 5).padEnd(5, "0"), 2));
  const prefix = [..."age-secret-key-"].map((char) => char.charCodeAt(0));
  const values = [...prefix.map((code) => code >> 5), 0, ...prefix.map((code) => code & 31), ...data, 0, 0, 0, 0, 0, 0];
  let sum = 1;
  for (const value of values) {
    const top = sum >>> 25;
    sum = ((sum & 0x1ffffff) << 5) ^ value;
    [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3].forEach((generator, bit) => {
      if ((top >> bit) & 1) sum ^= generator;
    });
  }
  sum ^= 1;
  const check = [25, 20, 15, 10, 5, 0].map((shift) => (sum >>> shift) & 31);
  return `age-secret-key-1${[...data, ...check].map((value) => BECH32.charAt(value)).join("")}`.toUpperCase();
}

function jwt(draw: Draw): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { sub: draw.digits(9), name: draw.of(LOWER, 8), iat: 1_700_000_000 + draw.below(90_000_000) };
  return `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}.${draw.bytes(32).toString("base64url")}`;
}

function pem(label: string, head: Buffer, bytes: number): SecretKind["make"] {
  return (draw) => {
    const encoded = Buffer.concat([head, draw.bytes(bytes)]).toString("base64");
    const rule = "-----";
    return `${rule}BEGIN ${label}${rule}\n${(encoded.match(/.{1,64}/g) ?? []).join("\n")}\n${rule}END ${label}${rule}`;
  };
}

function hex(text: string): Buffer {
  return Buffer.from(text, "hex");
}

/** The part that is the same in every unencrypted Ed25519 key file (PROTOCOL.key of OpenSSH). */
function opensshHead(): Buffer {
  const none = "000000046e6f6e65";
  const type = `0000000b${Buffer.from("ssh-ed25519").toString("hex")}`;
  return Buffer.concat([Buffer.from("openssh-key-v1\0"), hex(`${none}${none}000000000000000100000033${type}00000020`)]);
}

function password(draw: Draw): string {
  return `${draw.of(UPPER, 2)}${draw.of(LOWER, 4)}${draw.of("!#%*+-.=?^_~", 1)}${draw.of(DIGIT, 3)}${draw.of(LOWER, 3)}`;
}

function kind(name: string, variable: string, make: SecretKind["make"]): SecretKind {
  return { kind: name, variable, make };
}

export const SECRET_KINDS: readonly SecretKind[] = [
  kind("aws access key", "AWS_ACCESS_KEY_ID", (d) => `AKIA${d.of(`${UPPER}234567`, 16)}`),
  kind("aws temporary key", "AWS_ACCESS_KEY_ID", (d) => `ASIA${d.of(`${UPPER}234567`, 16)}`),
  kind("aws secret key", "AWS_SECRET_ACCESS_KEY", (d) => d.bytes(30).toString("base64")),
  kind("google api key", "GOOGLE_API_KEY", (d) => `AIza${d.url(35)}`),
  kind("google oauth secret", "GOOGLE_CLIENT_SECRET", (d) => `GOCSPX-${d.url(28)}`),
  kind("google oauth token", "GOOGLE_TOKEN", (d) => `ya29.${d.url(160)}`),
  kind(
    "azure storage key",
    "AZURE_STORAGE_CONNECTION_STRING",
    (d) =>
      `DefaultEndpointsProtocol=https;AccountName=${d.of(LOWER, 10)};AccountKey=${d.bytes(64).toString("base64")};EndpointSuffix=core.windows.net`,
  ),
  kind(
    "azure service bus key",
    "SERVICEBUS_CONNECTION",
    (d) =>
      `Endpoint=sb://${d.of(LOWER, 8)}.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey=${d.bytes(32).toString("base64")}`,
  ),
  kind("azure ad client secret", "AZURE_CLIENT_SECRET", (d) => `${d.alnum(3)}8Q~${d.of(`${BASE62}_-.~`, 34)}`),
  kind("azure ai key", "AZURE_OPENAI_KEY", (d) => `${d.alnum(52)}JQQJ99${d.of(UPPER, 3)}AC${d.alnum(21)}`),
  kind("github classic token", "GITHUB_TOKEN", withCrc("ghp_")),
  kind("github oauth token", "GITHUB_TOKEN", withCrc("gho_")),
  kind("github app token", "GH_APP_TOKEN", withCrc("ghs_")),
  kind("github user token", "GH_TOKEN", withCrc("ghu_")),
  kind("github refresh token", "GH_REFRESH", withCrc("ghr_")),
  kind("github fine-grained token", "GITHUB_TOKEN", (d) => `github_pat_${d.alnum(22)}_${d.alnum(59)}`),
  kind("gitlab token", "GITLAB_TOKEN", (d) => `glpat-${d.url(20)}`),
  kind("gitlab routable token", "GITLAB_TOKEN", (d) => `glpat-${d.url(40)}.01.0w${d.of(DIGIT + LOWER, 7)}`),
  kind("gitlab deploy token", "DEPLOY", (d) => `gldt-${d.url(20)}`),
  kind("gitlab runner token", "RUNNER", (d) => `glrt-${d.url(20)}`),
  kind("npm token", "NPM_TOKEN", withCrc("npm_")),
  kind("pypi token", "TWINE_PASSWORD", (d) => `pypi-AgEIcHlwaS5vcmc${d.url(150)}`),
  kind("rubygems key", "GEM_HOST_API_KEY", (d) => `rubygems_${d.hex(48)}`),
  kind("crates.io token", "CARGO_REGISTRY_TOKEN", (d) => `cio${d.alnum(32)}`),
  kind("docker hub token", "DOCKER_PASSWORD", (d) => `dckr_pat_${d.url(27)}`),
  kind("slack bot token", "SLACK_BOT_TOKEN", (d) => `xoxb-${d.digits(12)}-${d.digits(13)}-${d.alnum(24)}`),
  kind("slack user token", "SLACK_TOKEN", (d) => `xoxp-${d.digits(12)}-${d.digits(12)}-${d.digits(13)}-${d.hex(32)}`),
  kind("slack app token", "SLACK_APP_TOKEN", (d) => `xapp-1-A${d.of(UPPER + DIGIT, 10)}-${d.digits(13)}-${d.hex(64)}`),
  kind(
    "slack webhook",
    "SLACK_URL",
    (d) => `https://hooks.slack.com/services/T${d.of(UPPER + DIGIT, 10)}/B${d.of(UPPER + DIGIT, 10)}/${d.alnum(24)}`,
  ),
  kind("stripe key", "STRIPE_KEY", (d) => `${d.pick(["sk", "rk"])}_live_${d.alnum(99)}`),
  kind("encrypted private key", "KEY", pem("ENCRYPTED PRIVATE KEY", hex("308205303000"), 1250)),
  kind("pgp private key", "KEY", (d) => pem("PGP PRIVATE KEY BLOCK", hex("9505"), 900)(d).replace("\n", "\n\n")),
  kind("stripe webhook secret", "STRIPE_WEBHOOK", (d) => `whsec_${d.alnum(32)}`),
  kind("openai project key", "OPENAI_API_KEY", (d) => `sk-proj-${d.url(74)}T3BlbkFJ${d.url(74)}`),
  kind("openai key", "OPENAI_API_KEY", (d) => `sk-${d.alnum(20)}T3BlbkFJ${d.alnum(20)}`),
  kind("anthropic key", "ANTHROPIC_API_KEY", (d) => `sk-ant-api03-${d.url(93)}AA`),
  kind("hugging face token", "HF_TOKEN", (d) => `hf_${d.of(LOWER + UPPER, 34)}`),
  kind("groq key", "GROQ_API_KEY", (d) => `gsk_${d.alnum(52)}`),
  kind("perplexity key", "PPLX", (d) => `pplx-${d.alnum(48)}`),
  kind("replicate token", "REPLICATE", (d) => `r8_${d.alnum(37)}`),
  kind("openrouter key", "OPENROUTER", (d) => `sk-or-v1-${d.hex(64)}`),
  kind("digitalocean token", "DO_TOKEN", (d) => `dop_v1_${d.hex(64)}`),
  kind("heroku key", "HEROKU", (d) => `HRKU-AA${d.url(58)}`),
  kind("twilio key", "TWILIO", (d) => `SK${d.hex(32)}`),
  kind("twilio auth token", "TWILIO_AUTH_TOKEN", (d) => d.hex(32)),
  kind("sendgrid key", "SENDGRID", (d) => `SG.${d.url(22)}.${d.url(43)}`),
  kind("mailgun key", "MAILGUN", (d) => `key-${d.hex(32)}`),
  kind("mailchimp key", "MAILCHIMP", (d) => `${d.hex(32)}-us${1 + d.below(20)}`),
  kind("brevo key", "BREVO", (d) => `xkeysib-${d.hex(64)}-${d.alnum(16)}`),
  kind("shopify token", "SHOPIFY", (d) => `${d.pick(["shpat", "shpca", "shppa", "shpss"])}_${d.hex(32)}`),
  kind("square token", "SQUARE", (d) => `sq0atp-${d.url(22)}`),
  kind(
    "discord bot token",
    "DISCORD_BOT",
    (d) => `${Buffer.from(d.digits(18)).toString("base64")}.${d.url(6)}.${d.url(38)}`,
  ),
  kind("discord webhook", "HOOK", (d) => `https://discord.com/api/webhooks/${d.digits(19)}/${d.url(68)}`),
  kind("telegram bot token", "TG_BOT", (d) => `${d.digits(10)}:AA${d.url(33)}`),
  kind("databricks token", "DATABRICKS", (d) => `dapi${d.hex(32)}`),
  kind("vault token", "VAULT", (d) => `hvs.${d.url(95)}`),
  kind("terraform token", "TFC", (d) => `${d.alnum(14)}.atlasv1.${d.alnum(67)}`),
  kind("pulumi token", "PULUMI", (d) => `pul-${d.hex(40)}`),
  kind("doppler token", "DOPPLER", (d) => `dp.pt.${d.alnum(43)}`),
  kind("grafana token", "GRAFANA", grafana),
  kind("sentry token", "SENTRY", (d) => `sntryu_${d.hex(64)}`),
  kind("new relic key", "NEW_RELIC", (d) => `NRAK-${d.of(UPPER + DIGIT, 27)}`),
  kind("dynatrace token", "DT", (d) => `dt0c01.${d.of(UPPER + DIGIT, 24)}.${d.of(UPPER + DIGIT, 64)}`),
  kind("postman key", "POSTMAN", (d) => `PMAK-${d.hex(24)}-${d.hex(34)}`),
  kind("linear key", "LINEAR", (d) => `lin_api_${d.alnum(40)}`),
  kind("notion token", "NOTION", (d) => `ntn_${d.digits(11)}${d.alnum(35)}`),
  kind("figma token", "FIGMA", (d) => `figd_${d.url(40)}`),
  kind("airtable token", "AIRTABLE", (d) => `pat${d.alnum(14)}.${d.hex(64)}`),
  kind("atlassian token", "JIRA", (d) => `ATATT3xFfGF0${d.url(171)}=${d.of("0123456789ABCDEF", 8)}`),
  kind("tailscale key", "TS_AUTHKEY", (d) => `tskey-auth-${d.alnum(17)}-${d.alnum(32)}`),
  kind("okta token", "OKTA_API_TOKEN", (d) => `00${d.url(40)}`),
  kind("datadog key", "DD_API_KEY", (d) => d.hex(32)),
  kind("cloudflare token", "CLOUDFLARE_API_TOKEN", (d) => d.url(40)),
  kind("json web token", "SESSION", jwt),
  kind("rsa private key", "KEY", pem("RSA PRIVATE KEY", hex("308204a30201000282010100"), 1178)),
  kind(
    "pkcs8 private key",
    "KEY",
    pem("PRIVATE KEY", hex("308204bd020100300d06092a864886f70d0101010500048204a7"), 1190),
  ),
  kind("ec private key", "KEY", pem("EC PRIVATE KEY", hex("30770201010420"), 114)),
  kind("openssh private key", "KEY", pem("OPENSSH PRIVATE KEY", opensshHead(), 180)),
  kind("age identity", "SOPS_AGE", age),
  kind("wireguard key", "WG_CONF", (d) => `[Interface]\nPrivateKey = ${d.bytes(32).toString("base64")}`),
  kind("postgres url", "DATABASE_URL", (d) => `postgres://app:${d.alnum(20)}@db.${d.of(LOWER, 8)}.internal:5432/app`),
  kind("mongodb url", "MONGO", (d) => `mongodb+srv://svc:${d.alnum(16)}@cluster0.${d.of(LOWER, 5)}.mongodb.net/prod`),
  kind("redis url", "REDIS_URL", (d) => `redis://:${d.alnum(24)}@cache.${d.of(LOWER, 6)}.example.org:6379/0`),
  kind("basic auth in a url", "ORIGIN", (d) => `https://ci:${d.alnum(20)}@git.${d.of(LOWER, 7)}.org/team/repo.git`),
  kind(
    "basic auth header",
    "HEADER",
    (d) => `Authorization: Basic ${Buffer.from(`svc:${password(d)}`).toString("base64")}`,
  ),
  kind("bearer header", "HEADER", (d) => `Authorization: Bearer ${d.alnum(40)}`),
  kind("netrc entry", "NETRC", (d) => `machine git.${d.of(LOWER, 6)}.org login deploy password ${d.alnum(18)}`),
  kind(
    "docker config auth",
    "DOCKER_CONFIG",
    (d) => `{"auths":{"ghcr.io":{"auth":"${Buffer.from(`bot:${d.alnum(24)}`).toString("base64")}"}}}`,
  ),
  kind("kubeconfig client key", "KUBECONFIG", (d) => `client-key-data: ${d.bytes(300).toString("base64")}`),
  kind(
    "kubernetes secret",
    "MANIFEST",
    (d) =>
      `apiVersion: v1\nkind: Secret\nmetadata:\n  name: app\ndata:\n  password: ${Buffer.from(password(d)).toString("base64")}`,
  ),
  kind("named password", "DB_PASSWORD", password),
  kind("named secret", "SESSION_SECRET", (d) => d.bytes(32).toString("base64url")),
  kind("named api key", "WEATHER_API_KEY", (d) => d.hex(32)),
  kind("named uuid key", "SNYK_TOKEN", (d) => d.uuid()),
];
