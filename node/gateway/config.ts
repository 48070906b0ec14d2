/** The configuration section `gateway`: whether planes are joined by policy, and the audit log. Part of `config.ts`. */
import { z } from "zod";

const count = (least: number, most: number) => z.int().min(least).max(most);

export const gatewaySection = z.strictObject({
  mode: z
    .enum(["auto", "off"])
    .default("auto")
    .describe(
      "auto: a node with two or more planes lets across what gateway.yaml allows; off: everything, unrecorded.",
    ),
  anchorSeconds: count(1, 86_400).default(60).describe("How often the audit log's head is stated in the own chain."),
  auditFileBytes: count(65_536, 2 ** 40)
    .default(64 * 2 ** 20)
    .describe("Size at which a new audit file is begun."),
  auditFiles: count(2, 10_000).default(32).describe("Audit files kept; the oldest go first."),
});
