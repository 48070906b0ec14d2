/**
 * Values of password-like names: `DB_PASSWORD=…`, `"apiKey": "…"`, `--token …`, `<secret>…</secret>`, `?token=…`. No format
 * says what they look like, so the name and the randomness of the value decide together.
 */
import { hasSequence, isFiller, isRandomToken, isStrongPassword } from "./likeness.ts";

export type NameKind = "password" | "token" | "vendor";

/** Lower case. `vendor`: names of services whose keys have no prefix; only quite random values count for them. */
const NAMES: Readonly<Record<NameKind, string>> = {
  password: "password passwd passphrase passwort pwd passcode",
  token:
    "secret token apikey api_key api-key accesskey access_key access-key privatekey private_key private-key auth_key authkey auth-key encryption_key encryptionkey encryption-key signing_key signingkey signing-key accountkey account_key storage_key storagekey master_key masterkey license_key licensekey service_key servicekey shared_key sharedkey subscription_key subscription-key app_key appkey consumer_key consumerkey credential bearer session_key sessionkey secret_key deploy_key security_key integration_key routing_key client_key hmac_key webhook_key write_key",
  vendor:
    "adafruit algolia asana beamer bittrex clojars cloudflare codecov cohere coinbase contentful datadog dropbox droneci etsy fastly finicity finnhub flickr freshbooks gitter heroku jfrog kraken kucoin looker mailgun mattermost meraki messagebird netlify nytimes okta opsgenie pagerduty plaid rapidapi sendbird sumologic travis twitch twitter zendesk",
};

export interface Keyword {
  readonly literal: string;
  readonly kind: NameKind;
}

export const KEYWORDS: readonly Keyword[] = Object.entries(NAMES).flatMap(([kind, names]) =>
  names.split(" ").map((literal) => ({ literal, kind: kind as NameKind })),
);

export interface Assignment {
  readonly start: number;
  readonly end: number;
  /** Sure enough to refuse; else it is worth a warning. */
  readonly strong: boolean;
}

const MAX_NAME_TAIL = 40;
const MAX_VALUE_CHARS = 512;
const NAME_CHAR = /[A-Za-z0-9_-]/;
/** What a name ends in when it names something about a secret, not the secret. */
const ABOUT =
  /(?:^|[_-])(?:ids?|name|names|path|file|files|filename|dir|url|uri|urls|type|types|length|len|size|count|limit|max|min|ttl|expir\w*|expires\w*|ref|refs|field|input|label|policy|policies|hash|hashes|hashed|digest|regex|pattern|prefix|suffix|env|var|kind|store|storage|manager|provider|service|class|error|errors|index|version|status|state|format|algorithm|alg|method|scheme|header|headers|param|params|lifetime|age|rotation|rules?|strength|hint|reset|validator|generator|encoder|parser|list|map|set|usage|budget|cost|price|scopes?|issuer|audience|owner|created\w*|updated\w*|at|on|by|is|has|fingerprint|thumbprint|description|title|text|message|placeholder|required|enabled|disabled|valid|public|pub|arn)$/;
/** After the keyword: the quote that closes a name, an operator, the opening of a value. */
const OPERATOR =
  /(?:\\{0,2}["'`\])]{1,2})?(?:\s{0,8}:\s{0,2}(?:string|str|String|&str|&'static str|\[\]byte)(?=\s{0,2}=))?\s{0,8}(?:=>|:=|::=|={1,3}|:|>|,(?=\s{0,2}\\?["']))\s{0,8}(?:[[({]\s{0,4})?(?:[bBfFrRuU@$](?=["']))?(\\{0,2}["'`]{1,3})?/y;
/** `--password value` and `password value` of netrc and command lines. */
const OPTION = /["']?[ \t]{1,4}(["'])?/y;
const BARE_END = /[\s;,)}\]"'`<>&|\\]/;

function endOfName(text: string, from: number): number {
  let at = from;
  while (at < text.length && at - from <= MAX_NAME_TAIL && NAME_CHAR.test(text.charAt(at))) at++;
  return at;
}

/** The value assigned to the name that holds the keyword at `start`, when it looks like a secret. */
export function assignmentAt(text: string, start: number, keyword: Keyword): Assignment | undefined {
  const from = start + keyword.literal.length;
  const nameEnd = endOfName(text, from);
  if (nameEnd - from > MAX_NAME_TAIL) return undefined;
  const tail = text
    .slice(from, nameEnd)
    .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
    .toLowerCase();
  // "tokens", "tokenizer", "passwordless", "secretary": other words.
  if (/^[a-z]/.test(tail) && !/^[A-Z_-]/.test(text.charAt(from)) && !/^(?:key|token|value|hex|b64|base64)/.test(tail))
    return undefined;
  if (ABOUT.test(tail.replace(/[_-]+$/, "")) || (tail !== "" && ABOUT.test(`_${tail.replace(/^[_-]+|[_-]+$/g, "")}`)))
    return undefined;
  OPERATOR.lastIndex = nameEnd;
  let match = OPERATOR.exec(text);
  let option = false;
  if (match === null && isOption(text, start)) {
    OPTION.lastIndex = nameEnd;
    match = OPTION.exec(text);
    option = true;
  }
  if (match === null) return undefined;
  const quote = match[1];
  const valueStart = nameEnd + match[0].length;
  const valueEnd = quote === undefined ? bareEnd(text, valueStart) : quotedEnd(text, valueStart, quote);
  if (valueEnd === undefined || valueEnd - valueStart < 6) return undefined;
  const value = text.slice(valueStart, valueEnd);
  const strong = looksSecret(value, keyword.kind, quote !== undefined, text.charAt(valueEnd), option);
  if (!strong && !(keyword.kind === "token" && MAYBE.test(value) && !isFiller(value))) return undefined;
  return { start: valueStart, end: valueEnd, strong };
}

/** The keyword is in a word that starts with `--`, or it is netrc's own keyword. */
function isOption(text: string, start: number): boolean {
  let at = start;
  while (at > 0 && start - at < 32 && NAME_CHAR.test(text.charAt(at - 1))) at--;
  return text.startsWith("--", at) && (at === 0 || /[\s"'=,]/.test(text.charAt(at - 1)));
}

function quotedEnd(text: string, from: number, quote: string): number | undefined {
  const last = quote.charAt(quote.length - 1);
  const limit = Math.min(text.length, from + MAX_VALUE_CHARS);
  for (let at = from; at < limit; at++) {
    const char = text.charAt(at);
    if (char === "\n" || char === "\r") return undefined;
    if (char === last) return quote.startsWith("\\") ? at - quote.length + 1 : at;
    if (char === "\\" && !quote.startsWith("\\")) at++;
  }
  return undefined;
}

function bareEnd(text: string, from: number): number {
  const limit = Math.min(text.length, from + MAX_VALUE_CHARS);
  let at = from;
  while (at < limit && !BARE_END.test(text.charAt(at))) at++;
  return at;
}

/** References, templates, code and prose are not values. */
const NOT_A_VALUE =
  /^\$|^%|^<|^\{|^@[{A-Za-z]|\$\{|\{\{|<%|process\.env|os\.environ|getenv|secrets\.|vault:|^(?:https?|file|arn|urn|ref|env|ssm|sops|op|kms):|^\/[\w./-]+$|^\.{1,2}\/|^(?:null|none|nil|undefined|true|false|string|number|boolean)$/i;

/** Long enough to be a key, though it does not look drawn. */
const MAYBE = /^(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{32,128}$/;

function looksSecret(value: string, kind: NameKind, quoted: boolean, after: string, option: boolean): boolean {
  if (NOT_A_VALUE.test(value) || isFiller(value)) return false;
  // A call, an index, a member: code.
  if (
    !quoted &&
    (/[([]/.test(value) || after === "(" || /^[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)+[!?]?$/.test(value))
  ) {
    return kind === "password" && !/[([]/.test(value.slice(0, -1)) && isStrongPassword(value) && /[^\w.$(]/.test(value);
  }
  if (kind === "password") return isStrongPassword(value) || isRandomToken(value);
  if (kind === "vendor") return value.length >= 20 && isRandomToken(value);
  if (isRandomToken(value)) return true;
  // Short ones must be quoted and look drawn.
  return (
    (quoted || option) &&
    value.length >= 10 &&
    /[^A-Za-z0-9_.\-/ ]/.test(value) &&
    !hasSequence(value) &&
    isStrongPassword(value) &&
    /\d/.test(value) &&
    /[A-Z]/.test(value) &&
    /[a-z]/.test(value)
  );
}
