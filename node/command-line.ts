/** The command line: finds the verb, checks its arguments, runs it, and turns its outcome into an exit code. */
import { type ParseArgsConfig, parseArgs } from "node:util";
import { asSpineError, SpineError } from "../spine/index.ts";
import type { Verb, VerbContext, VerbOption } from "./commands/verb.ts";
import { resolveDir } from "./dir.ts";
import { Output, OutputClosed } from "./output.ts";
import { VERSION } from "./version.ts";

interface Entry {
  readonly summary: string;
  readonly load: () => Promise<Verb>;
}

/** Each verb is loaded only when it is run: checking a line of JSON must not load the network. */
const VERBS: Readonly<Record<string, Entry>> = {
  init: { summary: "make a node's directory", load: async () => (await import("./commands/init.ts")).init },
  run: { summary: "run the node", load: async () => (await import("./commands/run.ts")).run },
  status: { summary: "what the node is and holds", load: async () => (await import("./commands/status.ts")).status },
  publish: { summary: "sign and store facts", load: async () => (await import("./commands/publish.ts")).publish },
  ingest: { summary: "evidence lines to envelopes", load: async () => (await import("./commands/ingest.ts")).ingest },
  canonical: {
    summary: "canonical JSON and hash",
    load: async () => (await import("./commands/canonical.ts")).canonical,
  },
  "envelope verify": {
    summary: "check envelopes",
    load: async () => (await import("./commands/envelope.ts")).envelopeVerify,
  },
  "envelope encode": {
    summary: "envelopes to a codec's bytes",
    load: async () => (await import("./commands/envelope.ts")).envelopeEncode,
  },
  "envelope decode": {
    summary: "a codec's bytes to envelopes",
    load: async () => (await import("./commands/envelope.ts")).envelopeDecode,
  },
  "head list": { summary: "head announcements held", load: async () => (await import("./commands/head.ts")).headList },
  "head verify": {
    summary: "check head announcements",
    load: async () => (await import("./commands/head.ts")).headVerify,
  },
  sync: { summary: "sync once with a peer", load: async () => (await import("./commands/sync.ts")).sync },
  export: { summary: "envelopes to a file", load: async () => (await import("./commands/transfer.ts")).exportVerb },
  import: { summary: "envelopes from a file", load: async () => (await import("./commands/transfer.ts")).importVerb },
  "peers list": { summary: "peers known", load: async () => (await import("./commands/peers.ts")).peersList },
  "peers add": { summary: "stay connected to peers", load: async () => (await import("./commands/peers.ts")).peersAdd },
  "peers remove": { summary: "forget peers", load: async () => (await import("./commands/peers.ts")).peersRemove },
  "peers qr": { summary: "this node as a QR code", load: async () => (await import("./commands/peers.ts")).peersQr },
  "peers export": {
    summary: "the peerbook to a file",
    load: async () => (await import("./commands/peers.ts")).peersExport,
  },
  "peers import": {
    summary: "the peerbook from a file",
    load: async () => (await import("./commands/peers.ts")).peersImport,
  },
  "enclave helper": {
    summary: "keep the enclave's interface (privileged)",
    load: async () => (await import("./commands/enclave.ts")).enclaveHelper,
  },
  "enclave status": {
    summary: "the WireGuard enclave",
    load: async () => (await import("./commands/enclave.ts")).enclaveStatus,
  },
  "enclave rotate": {
    summary: "change the enclave's transport key",
    load: async () => (await import("./commands/enclave.ts")).enclaveRotate,
  },
  "issuer allow": { summary: "admit issuers", load: async () => (await import("./commands/issuer.ts")).issuerAllow },
  "issuer deny": {
    summary: "take admission back",
    load: async () => (await import("./commands/issuer.ts")).issuerDeny,
  },
  "issuer list": { summary: "issuers known", load: async () => (await import("./commands/issuer.ts")).issuerList },
  "trust show": { summary: "whose word counts", load: async () => (await import("./commands/trust.ts")).trustShow },
  "trust add": { summary: "believe somebody", load: async () => (await import("./commands/trust.ts")).trustAdd },
  "trust remove": {
    summary: "believe somebody no more",
    load: async () => (await import("./commands/trust.ts")).trustRemove,
  },
  "trust import": {
    summary: "curators from a TOML file",
    load: async () => (await import("./commands/trust.ts")).trustImport,
  },
  "trust confirm": {
    summary: "put the trust file into effect",
    load: async () => (await import("./commands/trust.ts")).trustConfirm,
  },
  "token issue": {
    summary: "sign capability tokens",
    load: async () => (await import("./commands/token.ts")).tokenIssue,
  },
  "token attenuate": {
    summary: "pass on less than a token grants",
    load: async () => (await import("./commands/token.ts")).tokenAttenuate,
  },
  "token verify": {
    summary: "judge capability tokens",
    load: async () => (await import("./commands/token.ts")).tokenVerify,
  },
  revoke: { summary: "revoke for ever", load: async () => (await import("./commands/revoke.ts")).revoke },
  rotate: { summary: "hand over to the next key", load: async () => (await import("./commands/identity.ts")).rotate },
  succeed: {
    summary: "continue with the recovery key",
    load: async () => (await import("./commands/identity.ts")).succeed,
  },
  "recovery test": {
    summary: "is the recovery key right",
    load: async () => (await import("./commands/identity.ts")).recoveryTest,
  },
  "fork list": { summary: "fork proofs held", load: async () => (await import("./commands/fork.ts")).forkList },
  "fork show": { summary: "one fork proof", load: async () => (await import("./commands/fork.ts")).forkShow },
  "guard check": {
    summary: "judge actions offline",
    load: async () => (await import("./commands/guard.ts")).guardCheck,
  },
  "guard audit": {
    summary: "what was decided",
    load: async () => (await import("./commands/guard-audit.ts")).guardAudit,
  },
  "guard reveal": {
    summary: "open a receipt's target",
    load: async () => (await import("./commands/guard-audit.ts")).guardReveal,
  },
  "guard status": {
    summary: "the daemon's guards",
    load: async () => (await import("./commands/guard-policy.ts")).guardStatus,
  },
  "guard approve": {
    summary: "let a looser policy in",
    load: async () => (await import("./commands/guard-policy.ts")).guardApprove,
  },
  "guard reload": {
    summary: "read the policy again",
    load: async () => (await import("./commands/guard-policy.ts")).guardReload,
  },
  "guard hook": {
    summary: "answer a harness's hook",
    load: async () => (await import("./commands/guard-hook.ts")).guardHook,
  },
  "guard install": {
    summary: "put hooks into a harness",
    load: async () => (await import("./commands/guard-install.ts")).guardInstall,
  },
  "guard uninstall": {
    summary: "take the hooks out",
    load: async () => (await import("./commands/guard-install.ts")).guardUninstall,
  },
  "guard doctor": {
    summary: "prove that hooks block",
    load: async () => (await import("./commands/guard-install.ts")).guardDoctor,
  },
  mcp: { summary: "guard an MCP server", load: async () => (await import("./commands/mcp.ts")).mcp },
  "policy validate": {
    summary: "what is wrong with a policy",
    load: async () => (await import("./commands/policy.ts")).policyValidate,
  },
  "policy show": {
    summary: "the effective policy",
    load: async () => (await import("./commands/policy.ts")).policyShow,
  },
  "gateway status": {
    summary: "what crosses between planes",
    load: async () => (await import("./commands/gateway.ts")).gatewayStatus,
  },
  "gateway confirm": {
    summary: "put gateway.yaml into effect",
    load: async () => (await import("./commands/gateway.ts")).gatewayConfirm,
  },
  "gateway audit verify": {
    summary: "check the audit log against its anchors",
    load: async () => (await import("./commands/gateway.ts")).gatewayAuditVerify,
  },
  "rns status": { summary: "the node on Reticulum", load: async () => (await import("./commands/rns.ts")).rnsStatus },
  "rns interfaces": {
    summary: "Reticulum interfaces in detail",
    load: async () => (await import("./commands/rns.ts")).rnsInterfaces,
  },
  "rns announce": {
    summary: "announce the node on Reticulum",
    load: async () => (await import("./commands/rns.ts")).rnsAnnounce,
  },
  "rns bind": {
    summary: "name the node's Reticulum destination to all who follow it",
    load: async () => (await import("./commands/rns-bind.ts")).rnsBind,
  },
  "rns path": {
    summary: "the ways to Reticulum destinations",
    load: async () => (await import("./commands/rns-path.ts")).rnsPath,
  },
  "rns send": {
    summary: "send mail over Reticulum (LXMF)",
    load: async () => (await import("./commands/rns-mail.ts")).rnsSend,
  },
  "rns fetch": {
    summary: "fetch mail from the propagation node",
    load: async () => (await import("./commands/rns-mail.ts")).rnsFetch,
  },
  "rns probe": {
    summary: "is a destination there",
    load: async () => (await import("./commands/rns-probe.ts")).rnsProbe,
  },
  backup: { summary: "a consistent copy", load: async () => (await import("./commands/backup.ts")).backup },
  restore: { summary: "a node of a backup", load: async () => (await import("./commands/backup.ts")).restore },
  "radio airtime": {
    summary: "time on air, duty cycle",
    load: async () => (await import("./commands/radio.ts")).radioAirtime,
  },
  "merkle root": { summary: "roots of leaves", load: async () => (await import("./commands/merkle.ts")).merkleRoot },
  "merkle inclusion": {
    summary: "check inclusion proofs",
    load: async () => (await import("./commands/merkle.ts")).merkleInclusion,
  },
  "merkle consistency": {
    summary: "check consistency proofs",
    load: async () => (await import("./commands/merkle.ts")).merkleConsistency,
  },
  "checkpoint list": {
    summary: "the log's checkpoints",
    load: async () => (await import("./commands/checkpoint.ts")).checkpointList,
  },
  "checkpoint latest": {
    summary: "the newest checkpoint",
    load: async () => (await import("./commands/checkpoint.ts")).checkpointLatest,
  },
  "checkpoint verify": {
    summary: "check checkpoints",
    load: async () => (await import("./commands/checkpoint.ts")).checkpointVerify,
  },
  prove: { summary: "a proof to carry away", load: async () => (await import("./commands/prove.ts")).prove },
  verify: { summary: "check a proof offline", load: async () => (await import("./commands/prove.ts")).verify },
  "witness show": {
    summary: "logs co-signed here",
    load: async () => (await import("./commands/witness.ts")).witnessShow,
  },
  "witness confirm": {
    summary: "go on co-signing after a restore",
    load: async () => (await import("./commands/witness.ts")).witnessConfirm,
  },
  "sim list": { summary: "built-in scenarios", load: async () => (await import("./commands/sim.ts")).simVerb("list") },
  "sim show": {
    summary: "a scenario as a file",
    load: async () => (await import("./commands/sim.ts")).simVerb("show"),
  },
  "sim schema": {
    summary: "what a scenario may hold",
    load: async () => (await import("./commands/sim.ts")).simVerb("schema"),
  },
  "sim run": {
    summary: "a mesh in virtual time",
    load: async () => (await import("./commands/sim.ts")).simVerb("run"),
  },
  "sim fuzz": {
    summary: "look for what breaks a mesh",
    load: async () => (await import("./commands/sim.ts")).simVerb("fuzz"),
  },
  "sim import": {
    summary: "a scenario of a real mesh",
    load: async () => (await import("./commands/sim.ts")).simVerb("import"),
  },
  "policy publish": {
    summary: "give a policy to nodes that trust you",
    load: async () => (await import("./commands/policy-publish.ts")).policyPublish,
  },
  "policy tighten": {
    summary: "tighten the policies of nodes that trust you",
    load: async () => (await import("./commands/policy-publish.ts")).policyTighten,
  },
  "store check": { summary: "look for damage", load: async () => (await import("./commands/store.ts")).storeCheck },
  "config show": {
    summary: "the effective configuration",
    load: async () => (await import("./commands/config.ts")).configShow,
  },
  "config schema": {
    summary: "what the configuration may hold",
    load: async () => (await import("./commands/config.ts")).configSchemaVerb,
  },
};

const COMMON: Readonly<Record<string, VerbOption>> = {
  dir: { type: "string", value: "DIR", help: "The node's directory; $SPINE_DIR or ~/.spine if omitted." },
  json: { type: "boolean", help: "One JSON value per line." },
  help: { type: "boolean", help: "Show this." },
};

function overview(group?: string): string {
  const names = Object.keys(VERBS).filter((name) => group === undefined || name.startsWith(`${group} `));
  const width = Math.max(...names.map(({ length }) => length));
  const lines = names.map((name) => `  ${name.padEnd(width)}  ${VERBS[name]?.summary}`);
  return `Usage: spine VERB [options]\n\n${lines.join("\n")}\n\nEvery verb has --help. spine version prints the version.\n`;
}

function helpOf(verb: Verb): string {
  const options = Object.entries({ ...verb.options, ...COMMON }).map(([name, option]) => {
    const names = `${option.short === undefined ? "" : `-${option.short}, `}--${name}`;
    return `  ${`${names}${option.value ? ` ${option.value}` : ""}`.padEnd(22)}  ${option.help}`;
  });
  const examples = verb.examples.map((example) => `  ${example}`);
  const sections = [`Usage: spine ${verb.usage}`, verb.about, `Options:\n${options.join("\n")}`];
  return `${[...sections, `Example:\n${examples.join("\n")}`].join("\n\n")}\n`;
}

/** The longest verb that the words begin with, and the words after it. */
function findVerb(words: readonly string[]): { name: string; entry: Entry; rest: string[] } {
  for (const count of [3, 2, 1]) {
    const name = words.slice(0, count).join(" ");
    const entry = Object.hasOwn(VERBS, name) ? VERBS[name] : undefined;
    if (entry && words.length >= count) return { name, entry, rest: words.slice(count) };
  }
  const group = words[0] as string;
  const within = Object.keys(VERBS).filter((name) => name.startsWith(`${group} `));
  const known = within.length > 0 ? within : Object.keys(VERBS);
  const named = words.slice(0, 2).filter((word) => !word.startsWith("-"));
  throw new SpineError("usage", `unknown verb "${named.join(" ")}"; known: ${known.join(", ")}`);
}

function parse(verb: Verb, name: string, args: string[]) {
  const options: NonNullable<ParseArgsConfig["options"]> = {};
  for (const [option, { type, multiple, short }] of Object.entries({ ...verb.options, ...COMMON })) {
    options[option] = { type, multiple: multiple === true, ...(short === undefined ? {} : { short }) };
  }
  try {
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true, strict: true });
    const { least, most } = verb.operands;
    if (values["help"] !== true && (positionals.length < least || positionals.length > most)) {
      throw new SpineError("usage", `${positionals.length} operands given. Usage: spine ${verb.usage}`);
    }
    return { values, positionals };
  } catch (cause) {
    if (cause instanceof SpineError) throw cause;
    throw new SpineError("usage", `spine ${name}: ${asSpineError(cause).message}`, { cause });
  }
}

function report(caught: unknown, json: boolean): number {
  const error = asSpineError(caught);
  const { code, message, hint } = error;
  process.stderr.write(
    json
      ? `${JSON.stringify({ error: { code, message, hint } })}\n`
      : `error ${code}: ${message}\n${code === "internal" && error.stack ? `${error.stack}\n` : ""}  ${hint}\n`,
  );
  return code === "usage" ? 2 : 1;
}

/** Interrupts abort the verb once; a second one ends the process. */
function interrupts(): AbortSignal {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(1);
      controller.abort();
    });
  }
  return controller.signal;
}

async function main(words: readonly string[]): Promise<number> {
  const first = words[0];
  if (first === undefined || first === "help" || first === "--help" || first === "-h") {
    const topic = words.slice(1).filter((word) => !/^(help|-h|--help)$/.test(word));
    if (topic.length > 0) return main([...topic, "--help"]);
    (first === undefined ? process.stderr : process.stdout).write(overview());
    return first === undefined ? 2 : 0;
  }
  if (first === "version" || first === "--version") {
    process.stdout.write(`${VERSION}\n`);
    return 0;
  }
  if (words[1] === "--help" && !Object.hasOwn(VERBS, first)) {
    const text = overview(first);
    if (text.includes(`  ${first} `)) {
      process.stdout.write(text);
      return 0;
    }
  }
  const json = words.includes("--json");
  const out = new Output(process.stdout);
  const signal = interrupts();
  try {
    const { name, entry, rest } = findVerb(words);
    const verb = await entry.load();
    const { values, positionals } = parse(verb, name, rest);
    if (values["help"] === true) {
      await out.write(helpOf(verb));
      return 0;
    }
    const context: VerbContext = {
      operands: positionals,
      flag: (option) => values[option] === true,
      text: (option) => (typeof values[option] === "string" ? values[option] : undefined),
      texts: (option) => (Array.isArray(values[option]) ? values[option].map(String) : []),
      json,
      dir: resolveDir(typeof values["dir"] === "string" ? values["dir"] : undefined, process.env),
      env: process.env,
      out,
      note: (text) => void process.stderr.write(`${text}\n`),
      signal,
    };
    const code = await verb.run(context);
    await out.flush();
    return code;
  } catch (caught) {
    if (caught instanceof OutputClosed) return 0;
    if (signal.aborted) return 1;
    return report(caught, json);
  }
}

/** Sets the exit code. */
export async function runCommandLine(words: readonly string[]): Promise<void> {
  process.stderr.on("error", () => undefined);
  process.exitCode = await main(words);
}
