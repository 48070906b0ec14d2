/**
 * Upstream's `trusted_curators.toml`, converted into the curators of the trust file. Called by `spine trust import`,
 * which leaves the result unconfirmed.
 */
import { parse } from "smol-toml";
import { z } from "zod";
import { SpineError } from "../../spine/index.ts";
import { checkTrust, type TrustFile } from "./trust-file.ts";

const publicKey = z.string().regex(/^(0x)?[0-9a-fA-F]{64}$/, "expected 64 hex digits");
const tomlSchema = z.strictObject({
  curator: z
    .array(
      z.strictObject({
        name: z.string().max(64).optional(),
        public_key: publicKey,
        trust_level: z.enum(["full", "audit-only"]).default("audit-only"),
        feed_ids: z.array(z.string().min(1).max(256)).max(64).default([]),
      }),
    )
    .default([]),
  // The older form names keys only: they get the lower level.
  trusted_keys: z.array(publicKey).default([]),
});

function idOf(key: string): string {
  return `aegis:ed25519:${key.replace(/^0x/, "").toLowerCase()}`;
}

/** Throws `config_invalid` for what is no TOML, or no list of curators. `path` opens each message. */
export function curatorsFromToml(text: string, path: string): TrustFile["curators"] {
  let value: unknown;
  try {
    value = parse(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split("\n")[0] : "";
    throw new SpineError("config_invalid", `${path}: ${reason}`, { cause });
  }
  const result = tomlSchema.safeParse(value);
  if (!result.success) {
    const lines = result.error.issues.map(({ path: at, message }) => `${path}: ${at.join(".")}: ${message}`);
    throw new SpineError("config_invalid", lines.slice(0, 20).join("\n"));
  }
  const { curator, trusted_keys } = result.data;
  const curators = [
    ...curator.map(({ name, public_key, trust_level, feed_ids }) => ({
      key: idOf(public_key),
      ...(name === undefined ? {} : { name }),
      level: trust_level,
      feeds: feed_ids,
    })),
    ...trusted_keys.map((key) => ({ key: idOf(key) })),
  ];
  return checkTrust({ curators }, path).curators;
}
