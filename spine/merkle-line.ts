/**
 * `spine merkle root|inclusion|consistency`: one parsed JSON case in, one answer out. Pure; the command line reads the
 * lines and numbers the answers, so that a bad line never stops the rest.
 */
import { fromHex, toHex } from "./bytes.ts";
import { asSpineError, type ErrorCode, SpineError } from "./errors.ts";
import { isJsonObject, type Json, type JsonObject } from "./lossless.ts";
import { type TreeHasher, treeRoot } from "./merkle.ts";
import { verifyConsistency, verifyInclusion } from "./merkle-verify.ts";

export type MerkleVerb = "root" | "inclusion" | "consistency";

export type MerkleAnswer =
  /** Verb root. */
  | { readonly root: string; readonly size: number }
  | { readonly ok: true }
  | { readonly ok: false; readonly code: ErrorCode; readonly message: string };

/**
 * root: `{leaves}`; inclusion: `{leaf, index, size, path, root}`; consistency: `{first, second, first_root, second_root,
 * proof}`. Bytes are hex of either case, `0x` optional; leaves are contents, not hashes. Never throws for a case's
 * content.
 */
export function merkleLine(hasher: TreeHasher, verb: MerkleVerb, line: Json): MerkleAnswer {
  try {
    if (!isJsonObject(line)) throw new SpineError("api_input", "a case is a JSON object");
    if (verb === "root") {
      const { root, size } = treeRoot(hasher, list(line, "leaves"));
      return { root: `0x${toHex(root)}`, size };
    }
    if (verb === "inclusion") {
      verifyInclusion(hasher, {
        leafHash: hasher.leaf(bytes(line["leaf"], "leaf")),
        index: count(line, "index"),
        size: count(line, "size"),
        path: list(line, "path"),
        root: bytes(line["root"], "root"),
      });
    } else {
      verifyConsistency(hasher, {
        first: count(line, "first"),
        second: count(line, "second"),
        firstRoot: bytes(line["first_root"], "first_root"),
        secondRoot: bytes(line["second_root"], "second_root"),
        proof: list(line, "proof"),
      });
    }
    return { ok: true };
  } catch (caught) {
    const error = asSpineError(caught);
    return { ok: false, code: error.code, message: error.message };
  }
}

/** A number out of range is the case's verdict (`proof_index`), something else no case at all. */
function count(line: JsonObject, key: string): number {
  const value = line[key];
  if (typeof value === "bigint") throw new SpineError("proof_index", `${key} is out of range`);
  if (typeof value !== "number") throw new SpineError("api_input", `${key} is not a number`);
  return value;
}

function bytes(value: Json | undefined, key: string): Uint8Array {
  if (typeof value !== "string") throw new SpineError("api_input", `${key} is not hex text`);
  return fromHex(value.startsWith("0x") ? value.slice(2) : value);
}

function list(line: JsonObject, key: string): Uint8Array[] {
  const value = line[key];
  if (!Array.isArray(value)) throw new SpineError("api_input", `${key} is not an array`);
  return (value as readonly Json[]).map((item) => bytes(item, key));
}
