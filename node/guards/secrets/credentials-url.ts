/** Passwords in URLs: `postgres://user:password@host`, `https://user:password@host/repository.git`. */
import { isFiller, isRandomToken, isStrongPassword } from "./likeness.ts";

export interface UrlCredential {
  readonly name: "database_url" | "url_password";
  readonly start: number;
  readonly end: number;
  /** Sure enough to refuse; else it is worth a warning. */
  readonly strong: boolean;
}

const AUTHORITY = /:\/\/([^\s:/@'"<>`\\{}()]{0,128}):([^\s/@'"<>`\\]{3,256})@([\w.-]{1,253}|\[[0-9a-fA-F:]{2,45}\])/y;
const DATABASE =
  /(?:postgres(?:ql)?|mysql|mariadb|mongodb(?:\+srv)?|rediss?|amqps?|mssql|sqlserver|cockroachdb|clickhouse|neo4j(?:\+s)?|bolt|nats|kafka|memcached|ldaps?|smtps?|cassandra|oracle)(?:\+[a-z0-9]{1,16})?$/i;
const MAX_SCHEME = 32;
/** What people write when they mean "some password". */
const WEAK =
  /^(?:pass(?:word|wd)?\d{0,4}|pwd|secret|pw|p|test\w{0,8}|user\w{0,4}|admin|root|postgres|mysql|guest|default|changeme|foo|bar|baz|qux|hunter2|letmein|x+|\*+|1234\d*|abc\w{0,4}|\.{3}|token|key)$/i;

/** `at` is where `://` stands. */
export function urlCredentialAt(text: string, at: number): UrlCredential | undefined {
  AUTHORITY.lastIndex = at;
  const match = AUTHORITY.exec(text);
  if (match === null) return undefined;
  const [whole, user, password, host] = match as unknown as [string, string, string, string];
  if (/^[$%{<[]|\$\{|\{\{|^:/.test(password) || isFiller(password) || isFiller(user)) return undefined;
  const start = at + whole.length - host.length - 1 - password.length;
  const database = DATABASE.test(text.slice(Math.max(0, at - MAX_SCHEME), at));
  const weak = WEAK.test(password) || password === user;
  const strong = !weak && (database ? password.length >= 4 : isStrongPassword(password) || isRandomToken(password));
  // A weak one of a database is still one; anywhere else it is an example.
  if (!strong && !(database && !/^(?:localhost|127\.|\[?::1|example|host|[\w-]+$)/.test(host))) return undefined;
  return { name: database ? "database_url" : "url_password", start, end: start + password.length, strong };
}
