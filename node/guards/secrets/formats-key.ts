/** Formats that belong to no one provider: private keys, signed tokens, URLs and headers with passwords, configuration files. */

import type { Severity } from "../verdict.ts";
import { bech32Valid, jwtCheck } from "./checks.ts";
import { format, type SecretFormat } from "./format.ts";
import { isFiller } from "./likeness.ts";

/** Between the header and the first line of a PEM body: line breaks, also written as escapes, and RFC 1421 header lines. */
const BREAK = "(?:\\\\r|\\\\n|[\\r\\n \\t\"'+,>|\\\\])";
const PEM_BODY = `(?:${BREAK}{1,80}(?:[A-Za-z-]{4,20}: [^\\r\\n]{1,100}${BREAK}{1,40}){0,4}([A-Za-z0-9+/=]{16,100}))?`;

/** A header alone on its line begins a key; inside a line it is mostly a program that looks for keys. */
function headerAlone(before: string, after: string): Severity | undefined {
  if (!/^\n?$/.test(before) || !/^[ \t\r]*(?:\n|$)/.test(after)) return "warning";
  return isFiller(after) ? undefined : "critical";
}

export const KEY_FORMATS: readonly SecretFormat[] = [
  format(
    "private_key",
    "private key",
    "-----begin",
    `-----BEGIN\\s{1,4}(?:RSA\\s{1,4})?PRIVATE\\s{1,4}KEY-----${PEM_BODY}`,
    { minBits: 2, bare: headerAlone },
  ),
  format(
    "private_key_block",
    "private key",
    "-----begin ----begin",
    `(?:-----BEGIN\\s{1,4}(?!RSA PRIVATE)(?:[A-Z0-9]{1,12}\\s{1,4}){1,3}PRIVATE\\s{1,4}KEY(?:\\s{1,4}BLOCK)?-----|---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----)${PEM_BODY}`,
    { minBits: 2, bare: headerAlone },
  ),
  format(
    "putty_key",
    "PuTTY private key",
    "putty-user-key-file-",
    "PuTTY-User-Key-File-[23]:(?=(?:(?!PuTTY-User)[^]){0,2000}Private-Lines:)",
    { minBits: 0 },
  ),
  format("age_identity", "age secret key", "age-secret-key-1", "AGE-SECRET-KEY-1[0-9A-Z]{50,70}", {
    check: bech32Valid,
  }),
  format(
    "json_web_token",
    "JSON Web Token",
    "eyj",
    "eyJ[A-Za-z0-9_-]{10,2000}\\.eyJ[A-Za-z0-9_-]{10,6000}\\.[A-Za-z0-9_-]{20,1500}",
    { edge: true, severity: "error", minBits: 3, check: jwtCheck },
  ),
  format(
    "json_web_key",
    "private JSON Web Key",
    '"kty"',
    '"kty"(?:(?!"kty")[^]){0,600}?"d"\\s{0,4}:\\s{0,4}"([A-Za-z0-9_-]{32,800})"',
    { minBits: 3.5 },
  ),
  format(
    "wireguard_key",
    "WireGuard private key",
    "privatekey presharedkey",
    "(?:PrivateKey|PresharedKey)\\s{0,4}=\\s{0,4}([A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=)",
    { fold: true, minBits: 3.5 },
  ),
  format("tor_key", "Tor onion service key", "ed25519-v3:", "ED25519-V3:([A-Za-z0-9+/]{80,90}={0,2})"),
  format(
    "bearer_token",
    "bearer token",
    "authorization",
    "[Aa]uthorization[\\\\'\"\\])]{0,3}\\s{0,4}(?:=>|[:=,])\\s{0,4}[\\\\f'\"`]{0,3}(?:[Bb]earer|[Tt]oken|[Aa]pi[Kk]ey|SSWS|GenieKey)\\s{1,4}([A-Za-z0-9._~+/-]{20,2000}={0,2})",
    { fold: true, severity: "error", minBits: 3.3 },
  ),
  format(
    "basic_auth_header",
    "basic authentication",
    "authorization",
    "[Aa]uthorization[\\\\'\"\\])]{0,3}\\s{0,4}(?:=>|[:=,])\\s{0,4}[\\\\f'\"`]{0,3}[Bb]asic\\s{1,4}([A-Za-z0-9+/]{12,400}={0,2})",
    { fold: true, severity: "error", minBits: 2.8 },
  ),
  format(
    "docker_auth",
    "Docker registry credential",
    '"auth"',
    '"auth"\\s{0,4}:\\s{0,4}"([A-Za-z0-9+/]{16,400}={0,2})"',
    { fold: true, minBits: 2.8 },
  ),
  format(
    "kube_client_key",
    "Kubernetes client key",
    "client-key-data",
    "client-key-data['\"]?\\s{0,4}:\\s{0,4}['\"]?([A-Za-z0-9+/]{60,10000}={0,2})",
    { fold: true, minBits: 3.5 },
  ),
  format(
    "netrc_password",
    "netrc password",
    "machine",
    "machine\\s{1,4}[\\w.:-]{1,120}\\s{1,8}login\\s{1,4}[^\\s]{1,80}\\s{1,8}password\\s{1,4}([^\\s'\"`\\\\]{6,200})",
    { severity: "error", edge: true },
  ),
  format(
    "nuget_password",
    "NuGet source password",
    "cleartextpassword",
    '[Cc]lear[Tt]ext[Pp]assword"\\s{1,8}value="([^"]{8,120})"',
    { fold: true, severity: "error" },
  ),
  format(
    "sshpass_password",
    "SSH password on a command line",
    "sshpass",
    "sshpass\\s{1,4}-p\\s{0,2}['\"]?([^\\s'\"$]{6,80})",
    { severity: "error" },
  ),
  format(
    "curl_user_password",
    "password on a command line",
    "curl",
    "curl\\s(?:(?!curl)[^\\n|;&]){0,400}?(?:-u|--user)[=\\s]{1,3}['\"]?[^\\s:'\"$]{1,80}:([^\\s'\"{<$]{6,120})",
    { severity: "error", edge: true, minBits: 2.4 },
  ),
];
