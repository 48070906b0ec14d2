/** `spine envelope verify|encode|decode`: envelopes checked and respelled without a node. */
import {
  type Claim,
  claimOf,
  decodeCbor,
  decodeCompact,
  type Envelope,
  encodeCbor,
  encodeCompact,
  envelopeBytes,
  envelopeText,
  openEnvelope,
  openEnvelopeValue,
  parseJson,
  SpineError,
  toHex,
} from "../../spine/index.ts";
import { sha256Hex } from "../hash.ts";
import { WorkerVerifier } from "../verifier.ts";
import { type CaseAnswer, caseBytes, eachLine, HEX_OPTION, refuseCase, runCases } from "./cases.ts";
import type { Verb, VerbContext, VerbOption } from "./verb.ts";

/** Bytes of an envelope, and an envelope of bytes. The compact form stands alone here: nothing is left out. */
interface Codec {
  encode(envelope: Envelope): Uint8Array;
  decode(bytes: Uint8Array): Envelope;
}

const CODECS: Readonly<Record<string, Codec>> = {
  json: { encode: envelopeBytes, decode: (bytes) => openEnvelope(bytes, sha256Hex) },
  cbor: {
    encode: (envelope) => encodeCbor(parseJson(envelopeBytes(envelope))),
    decode: (bytes) => openEnvelopeValue(decodeCbor(bytes), sha256Hex),
  },
  compact: {
    encode(envelope) {
      const bytes = encodeCompact(envelope);
      if (bytes === undefined) throw new SpineError("not_portable", "the compact form does not carry this envelope");
      return bytes;
    },
    decode: (bytes) => decodeCompact(bytes, {}, sha256Hex),
  },
};
const CODEC_NAMES = Object.keys(CODECS).join("|");
const CODEC_OPTION: VerbOption = {
  type: "string",
  value: CODEC_NAMES,
  help: "Codec of the bytes; json if omitted.",
};

function codecOf(context: VerbContext): Codec {
  const name = context.text("codec") ?? "json";
  const codec = Object.hasOwn(CODECS, name) ? CODECS[name] : undefined;
  if (codec === undefined) throw new SpineError("usage", `no codec "${name}"; supported: ${CODEC_NAMES}`);
  return codec;
}

const named = ({ hash, issuer, seq }: Envelope) => ({ envelope_hash: hash, issuer, seq });

export const envelopeVerify: Verb = {
  usage: "envelope verify [--hex] [FILE|-]",
  about: "Checks every field, the hash and the signature of the envelope on each line. Needs no node and no network.",
  examples: ["spine envelope verify envelopes.jsonl", "spine export | spine envelope verify"],
  options: { hex: HEX_OPTION },
  operands: { least: 0, most: 1 },
  async run(context) {
    await using verifier = new WorkerVerifier();
    return await runCases(context, async (lines) => {
      const opened = lines.map((line): Envelope | CaseAnswer => {
        try {
          return openEnvelope(caseBytes(line, context.flag("hex")), sha256Hex);
        } catch (caught) {
          return refuseCase(caught);
        }
      });
      const claims: Claim[] = [];
      for (const one of opened) if (!("ok" in one)) claims.push(claimOf(one));
      const verdicts = await verifier.verify(claims);
      let next = 0;
      return opened.map((one) => {
        if ("ok" in one) return one;
        if (verdicts[next++] === true) return { ok: true, ...named(one) };
        return refuseCase(new SpineError("signature_invalid", "the issuer's key did not sign these bytes"));
      });
    });
  },
};

export const envelopeEncode: Verb = {
  usage: "envelope encode [--codec json|cbor|compact] [--hex] [FILE|-]",
  about:
    "Prints the codec's bytes, as hex, of the envelope on each line. Fields and hash are checked, the signature is not.",
  examples: ["spine envelope encode --codec compact envelopes.jsonl"],
  options: { codec: CODEC_OPTION, hex: HEX_OPTION },
  operands: { least: 0, most: 1 },
  async run(context) {
    const codec = codecOf(context);
    return await runCases(
      context,
      eachLine((line) => {
        const envelope = openEnvelope(caseBytes(line, context.flag("hex")), sha256Hex);
        const bytes = codec.encode(envelope);
        return { ok: true, hex: toHex(bytes), bytes: bytes.length, envelope_hash: envelope.hash };
      }),
    );
  },
};

export const envelopeDecode: Verb = {
  usage: "envelope decode [--codec json|cbor|compact] [FILE|-]",
  about: "Reads the hex of the codec's bytes on each line and prints the envelope's canonical JSON as text.",
  examples: ["spine envelope decode --codec compact encoded.txt"],
  options: { codec: CODEC_OPTION },
  operands: { least: 0, most: 1 },
  async run(context) {
    const codec = codecOf(context);
    return await runCases(
      context,
      eachLine((line) => {
        const bytes = caseBytes(line, true);
        const envelope = codec.decode(bytes);
        return { ok: true, json: envelopeText(envelope), bytes: bytes.length, envelope_hash: envelope.hash };
      }),
    );
  },
};
