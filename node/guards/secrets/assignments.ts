/**
 * Values of password-like names: `DB_PASSWORD=…`, `"apiKey": "…"`, `--token …`, `<secret>…</secret>`, `?token=…`. No format
 * says what they look like, so the name and the randomness of the value decide together.
 */
import { isFiller, isRandomToken, isStrongPassword } from "./likeness.ts";

export type NameKind = "password" | "token" | "vendor";

/** Lower case. `vendor`: names of services whose keys have no prefix; only quite random values count for them. */
const NAMES: Readonly<Record<NameKind, string>> = {
  password: "password passwd passphrase passwort pwd passcode",
  token:
    "secret token apikey api_key api-key accesskey access_key access-key privatekey private_key private-key auth_key authkey auth-key encryption_key encryptionkey encryption-key signing_key signingkey signing-key accountkey account_key storage_key storagekey master_key masterkey license_key licensekey service_key servicekey shared_key sharedkey subscription_key subscription-key app_key appkey consumer_key consumerkey credential bearer session_key sessionkey secret_key deploy_key security_key integration_key routing_key client_key hmac_key webhook_key write_key api.key access.key secret.key private.key auth.key accesskey",
  vendor:
    "adafruit algolia asana beamer bittrex clojars cloudflare codecov cohere coinbase contentful datadog dropbox droneci etsy fastly finicity finnhub flickr freshbooks gitter heroku jfrog kraken kucoin looker mailgun mattermost meraki messagebird netlify nytimes okta opsgenie pagerduty plaid rapidapi sendbird sumologic travis twitch twitter zendesk",
};

export interface Keyword {
  readonly literal: string;
  readonly kind: NameKind;
}

/** As people write them in notes. */
const SPOKEN_NAMES = ["api key", "access key", "secret key", "private key", "license key", "account key"];

export const KEYWORDS: readonly Keyword[] = [
  ...Object.entries(NAMES).flatMap(([kind, names]) =>
    [...new Set(names.split(" "))].map((literal) => ({ literal, kind: kind as NameKind })),
  ),
  ...SPOKEN_NAMES.map((literal) => ({ literal, kind: "token" as const })),
];

export interface Assignment {
  readonly start: number;
  readonly end: number;
  /** Sure enough to refuse; else it is worth a warning. */
  readonly strong: boolean;
}

const MAX_NAME_TAIL = 40;
const MIN_VALUE_CHARS = 6;
const MAX_VALUE_CHARS = 512;
/** Without quotes nothing longer is a key. */
const MAX_BARE_CHARS = 256;
/** Keywords inside a value that has been looked at. */
const MAX_LOOKS_WITHIN = 3;
/** What a name ends in when it names something about a secret, not the secret. */
const ABOUT =
  /(?:^|[_-])(?:ids?|name|names|path|file|files|filename|dir|url|uri|urls|type|types|length|len|size|count|limit|max|min|ttl|expir\w*|expires\w*|ref|refs|field|input|label|policy|policies|hash|hashes|hashed|digest|regex|pattern|prefix|suffix|env|var|kind|store|storage|manager|provider|service|class|error|errors|index|version|status|state|format|algorithm|alg|method|scheme|header|headers|param|params|lifetime|age|rotation|rules?|strength|hint|reset|validator|generator|encoder|parser|list|map|set|usage|budget|cost|price|scopes?|issuer|audience|owner|created\w*|updated\w*|at|on|by|is|has|fingerprint|thumbprint|description|title|text|message|placeholder|required|enabled|disabled|valid|public|pub|arn)$/;
const QUOTE = "(\\\\{0,2}[\"'`]{1,3})?";
/** After the keyword: what closes a name, an operator, the opening of a value. */
const OPERATOR = new RegExp(
  "(?:\\\\{0,2}[\"'`\\])*]{1,3})?" +
    "(?:\\s{0,8}:\\s{0,2}(?:string|str|String|&str|&'static str|\\[\\]byte)(?=\\s{0,2}=)|\\s{1,4}\\*?(?:string|String|text|varchar)(?=\\s{0,4}:?=))?" +
    "\\s{0,8}(?:=>|:=|::=|={1,3}|:|>|,(?=\\s{0,2}\\\\?[\"'])|\\|(?=\\s{0,4}`))\\s{0,8}" +
    `(?:[[({]\\s{0,4})?(?:[bBfFrRuU@$](?=["']))?${QUOTE}`,
  "y",
);
/** The value stands under a name of its own: `name="x" value="…"`, `variable "x" { default = "…" }`, `set x --body "…"`; or after "is". */
const ELSEWHERE = new RegExp(
  "(?:" +
    "[\"']?[,;]?\\s{1,40}[\"']?(?:value|content)[\"']?\\s{0,4}[=:]" +
    "|[\"']\\s{0,4}\\{(?:[^}\\n]{0,120}\\n){0,4}[^}\\n]{0,40}\\bdefault\\s{0,4}=" +
    "|[\"']?\\s{1,4}--(?:body|value|secret-string|data)[= ]" +
    "|[\"'`*]{0,3}\\s{1,3}is(?:\\s(?:now|currently))?:?\\s" +
    `)\\s{0,8}${QUOTE}`,
  "y",
);
/** `--password value`; `ENV NAME value`. */
const OPTION = /["']?[ \t]{1,4}(["'])?/y;
/** In front of a name that a value follows without an operator. */
const SETS = /(?:^|[\s;&|(])(?:ENV|set(?: -[a-zA-Z]{1,4}){1,3}|setx|setenv)[ \t]{1,4}$/;
const BARE_END = /[\s;,)}\]"'`<>&|\\]/;

function endOfName(text: string, from: number): number {
  let at = from;
  while (at < text.length && at - from <= MAX_NAME_TAIL && isNameCode(text.charCodeAt(at))) at++;
  return at;
}

function isNameCode(code: number): boolean {
  return (
    (code >= 97 && code <= 122) ||
    (code >= 65 && code <= 90) ||
    (code >= 48 && code <= 57) ||
    code === 95 ||
    code === 45
  );
}

/** Where the value of a name is, and how it is written. */
interface Place {
  readonly start: number;
  readonly end: number;
  readonly quoted: boolean;
  readonly option: boolean;
}

/** One search for assignments through one text; values within values are looked at a few times, not for ever. */
export class AssignmentFinder {
  readonly #text: string;
  #looked = 0;
  #again = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** The value assigned to the name that holds the keyword at `start`, when it looks like a secret. */
  at(start: number, keyword: Keyword): Assignment | undefined {
    const text = this.#text;
    const from = start + keyword.literal.length;
    const nameEnd = endOfName(text, from);
    if (nameEnd - from > MAX_NAME_TAIL || nameEnd >= text.length) return undefined;
    if (start >= this.#looked) this.#again = 0;
    else if (++this.#again > MAX_LOOKS_WITHIN) return undefined;
    const place = placeOf(text, start, nameEnd, keyword.kind);
    if (place === undefined || place.end - place.start < MIN_VALUE_CHARS || isAbout(text, from, nameEnd))
      return undefined;
    this.#looked = Math.max(this.#looked, place.end);
    const value = text.slice(place.start, place.end);
    const strong = looksSecret(value, keyword.kind, place, text.charAt(place.end));
    if (!strong && !(keyword.kind === "token" && MAYBE.test(value) && !isFiller(value))) return undefined;
    return { start: place.start, end: place.end, strong };
  }
}

function placeOf(text: string, start: number, nameEnd: number, kind: NameKind): Place | undefined {
  let match = matchAt(OPERATOR, text, nameEnd);
  let option = false;
  if (match === null && OPENS_ELSEWHERE.test(text.charAt(nameEnd))) {
    match = matchAt(ELSEWHERE, text, nameEnd);
    if (match === null && isOption(text, start)) {
      match = matchAt(OPTION, text, nameEnd);
      option = true;
    }
  }
  if (match === null) return undefined;
  const quote = match[1];
  const from = nameEnd + match[0].length;
  const end = quote === undefined ? bareEnd(text, from, kind) : quotedEnd(text, from, quote);
  return end === undefined ? undefined : { start: from, end, quoted: quote !== undefined, option };
}

const OPENS_ELSEWHERE = /[\s"'`*,;]/;

function matchAt(expression: RegExp, text: string, at: number): RegExpExecArray | null {
  expression.lastIndex = at;
  return expression.exec(text);
}

/** The rest of the name makes it another word (tokens, passwordless), or says that it is about a secret (tokenUrl). */
function isAbout(text: string, from: number, nameEnd: number): boolean {
  if (from === nameEnd) return false;
  const rest = text.slice(from, nameEnd);
  if (/^[a-z]/.test(rest) && !/^(?:key|token|value|hex|b64|base64)/.test(rest)) return true;
  const words = rest.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toLowerCase();
  return ABOUT.test(`_${words.replace(/^[_-]+|[_-]+$/g, "")}`);
}

/** The keyword is in a word that starts with `--`, or behind a word that sets variables. */
function isOption(text: string, start: number): boolean {
  let at = start;
  while (at > 0 && start - at < 32 && isNameCode(text.charCodeAt(at - 1))) at--;
  if (text.startsWith("--", at)) return at === 0 || /[\s"'=,]/.test(text.charAt(at - 1));
  return SETS.test(text.slice(Math.max(0, at - 24), at));
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

/** Only a password holds `=` inside; at the end it fills base64 up. */
function bareEnd(text: string, from: number, kind: NameKind): number {
  const limit = Math.min(text.length, from + MAX_BARE_CHARS);
  for (let at = from; at < limit; at++) {
    const char = text.charAt(at);
    if (BARE_END.test(char)) return at;
    if (char === "=" && kind !== "password" && isNameCode(text.charCodeAt(at + 1))) return at;
  }
  return limit;
}

/** References, templates, code and prose are not values. */
const NOT_A_VALUE =
  /^\$|^%|^<|^\{|^@[{A-Za-z]|\$\{|\{\{|<%|process\.env|os\.environ|getenv|secrets\.|vault:|^(?:https?|file|arn|urn|ref|env|ssm|sops|op|kms):|^\/[\w./-]+$|^\.{1,2}\/|^(?:null|none|nil|undefined|true|false|string|number|boolean)$/i;

/** Long enough to be a key, though it does not look drawn. */
const MAYBE = /^(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{32,128}$/;

const MEMBER = /^[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)+[!?]?$/;
/** An expression that describes values. */
const EXPRESSION = /\[[^\]]{0,64}-[^\]]{0,64}\]|\\[dwsbDWS]|\{\d+(?:,\d*)?\}|\(\?[:=!<i]/;

function looksSecret(value: string, kind: NameKind, place: Place, after: string): boolean {
  return isDrawn(value, kind, place, after) && !NOT_A_VALUE.test(value) && !EXPRESSION.test(value);
}

function isDrawn(value: string, kind: NameKind, { quoted, option }: Place, after: string): boolean {
  // A call, an index, a member: code.
  if (!quoted && (/[([]/.test(value) || after === "(" || MEMBER.test(value)))
    return kind === "password" && !/[([]/.test(value.slice(0, -1)) && /[^\w.$(]/.test(value) && isStrongPassword(value);
  if (kind === "password") return isStrongPassword(value) || isRandomToken(value);
  if (kind === "vendor") return value.length >= 20 && isRandomToken(value);
  if (isRandomToken(value)) return true;
  // Short ones must be quoted and look drawn.
  return (
    (quoted || option) &&
    value.length >= 10 &&
    /[^A-Za-z0-9_.\-/ ]/.test(value) &&
    [/\d/, /[A-Z]/, /[a-z]/].every((part) => part.test(value)) &&
    isStrongPassword(value)
  );
}
