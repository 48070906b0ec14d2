/**
 * Attempts to talk the model out of its rules (spec/guards.md section 2.9): heuristic, statistical and linear layers. Our
 * rule book adds decisive and doubtful phrasings; a learned layer or judge can be attached through `TextLayer`.
 */
import type { Guard } from "./guard.ts";
import { type LearnedLayer, suspicionDetails } from "./model/learned-layer.ts";
import type { JailbreakPolicy } from "./policy/effective.ts";
import { type TextPayload, textPayload } from "./prompt-injection.ts";
import { canonicalDetails, canonicaliseText, fingerprint } from "./text/canonical.ts";
import { protectedBy } from "./text/protected.ts";
import { ruleSet } from "./text/rule-set.ts";
import { textVariants } from "./text/variants.ts";
import { allow, deny, type GuardResult, type Severity, warn } from "./verdict.ts";

const NAME = "jailbreak_detection";

/** A further layer, such as a learned classifier: a risk of 0 to 1 for a canonical text. Must be quick and pure. */
export interface TextLayer {
  readonly name: string;
  risk(text: string): number;
}

const HEURISTICS = [
  {
    id: "jb_ignore_policy",
    weight: 0.9,
    linear: "w_ignore_policy",
    source:
      "(?is)\\b(ignore|disregard|bypass|override|disable)\\b.{0,64}\\b(policy|policies|rules|safety|guardrails?)\\b",
  },
  {
    id: "jb_dan_unfiltered",
    weight: 0.9,
    linear: "w_dan",
    source: "(?i)\\b(dan|jailbreak|unfiltered|unrestricted)\\b",
  },
  {
    id: "jb_system_prompt_extraction",
    weight: 0.95,
    linear: "w_prompt_extraction",
    source:
      "(?is)\\b(reveal|show|tell\\s+me|repeat|print|output|display)\\b.{0,64}\\b(system prompt|developer (message|instructions|prompt)|hidden (instructions|prompt)|system instructions)\\b",
  },
  {
    id: "jb_role_change",
    weight: 0.7,
    linear: "w_role_change",
    source: "(?i)\\b(you are now|act as|pretend to be|roleplay)\\b",
  },
  {
    id: "jb_encoded_payload",
    weight: 0.6,
    linear: "w_encoded",
    source: "(?i)\\b(base64|rot13|url\\s*encode|decode)\\b",
  },
];
const HEURISTIC_RULES = ruleSet(HEURISTICS.map((one) => one.source));

/** Phrasings that stand for themselves, with the least score each gives. Only the `spine` rule book uses them. */
const DECISIVE = [
  {
    id: "jb_persona_without_limits",
    score: 75,
    source:
      "(?is)\\b(you are|you're|become|act as|pretend to be|simulate|play|answer as|respond as|behave as)\\b.{0,40}\\b(dan|stan|dude|aim|evil\\S*|unfiltered|uncensored|unrestricted|without (?:any )?(?:limits?|restrictions?|rules|filters?)|no (?:limits?|restrictions?|rules|filters?|ethic\\w*|moral\\w*))\\b",
  },
  { id: "jb_do_anything_now", score: 75, source: "(?is)\\bdo anything now\\b" },
  {
    id: "jb_no_restrictions",
    score: 45,
    source:
      "(?is)\\b(no|without|free (?:of|from)|lifted?|remove[ds]?)\\b.{0,16}\\b(restrictions?|limitations?|censorship|filters?|guidelines|content polic\\w+)\\b",
  },
  {
    id: "jb_developer_mode",
    score: 45,
    source:
      "(?is)\\b(developer|debug|god|sudo|admin|root|maintenance)[ -]?mode\\b.{0,40}\\b(enabled?|activat\\w*|on|entered|unlocked)\\b|\\b(enable|activate|enter|unlock)\\b.{0,24}\\b(developer|debug|god|sudo|admin)[ -]?mode\\b",
  },
  {
    id: "jb_two_answers",
    score: 45,
    source:
      "(?is)\\b(two|both|2)\\b.{0,24}\\b(answers?|responses?|versions?)\\b.{0,80}\\b(filtered|unfiltered|normal|classic|jailbr\\w*)\\b",
  },
  {
    id: "jb_emotional_persona",
    score: 35,
    source:
      "(?is)\\b(pretend|imagine|act like|roleplay)\\b.{0,40}\\b(grandm\\w*|grandpa|grandfather|deceased|late (?:mother|father|wife|husband))\\b",
  },
  {
    id: "jb_payload_splitting",
    score: 35,
    source:
      "(?is)\\b(translate|encode|decode|complete|rewrite|convert|combine|concatenate)\\b.{0,80}\\b(answer|execute|follow|obey|respond|do|carry out)\\b.{0,16}\\b(it|them|that|this|the result)\\b",
  },
  {
    id: "jb_from_now_on",
    score: 35,
    source: "(?is)\\bfrom now on\\b.{0,64}\\b(answer|respond|reply|act|behave|speak|you (?:will|are|must))\\b",
  },
  {
    id: "jb_hypothetical_cover",
    score: 35,
    source:
      "(?is)\\b(hypothetical\\w*|fictional|for a (?:novel|story|movie)|in a world)\\b.{0,120}\\b(no (?:laws|rules|ethics|restrictions)|illegal|bomb|weapon|malware|explosive)\\b",
  },
  {
    id: "jb_ignore_instructions",
    score: 70,
    source:
      "(?is)\\b(ignore|disregard|forget)\\b.{0,32}\\b(all|any|previous|prior|your|the above)\\b.{0,32}\\b(instructions?|guidelines|prompts?|programming|training)\\b",
  },
  {
    id: "jb_privileged_mode",
    score: 45,
    source: "(?is)\\bin (?:developer|debug|god|sudo|admin|root|jailbreak) ?mode\\b",
  },
  {
    id: "jb_freed",
    score: 45,
    source:
      "(?is)\\b(freed?|liberated|released|broken? free)\\b.{0,32}\\b(confines|constraints|restrictions|shackles|chains)\\b",
  },
  {
    id: "jb_bypass_guidelines",
    score: 45,
    source:
      "(?is)\\b(ignore|bypass|override|disregard|break|evade|circumvent)\\b.{0,32}\\b(your|all|any|the) (?:\\w+ )?(guidelines|restrictions|safeguards|censorship|content polic\\w+)\\b",
  },
  {
    id: "jb_repeat_above",
    score: 35,
    source:
      "(?is)\\b(repeat|print|output|recite)\\b.{0,24}\\b(words|text|everything|all)\\b.{0,16}\\b(above|before)\\b",
  },
  {
    id: "jb_harmful_request",
    score: 35,
    source:
      "(?is)\\b(how (?:to|do)|explain\\w*|instructions?|steps?|recipes?|used to (?:read|tell))\\b.{0,48}\\b(bombs?|explosives?|malware|ransomware|meth|napalm|nerve agents?|keyloggers?|pipe ?bombs?)\\b|\\b(napalm|meth|bomb) recipes?\\b",
  },
  {
    id: "jb_known_persona",
    score: 45,
    source:
      "(?is)\\bstrive to avoid norms\\b|\\balways intelligent and machiavellian\\b|\\bopposite day\\b|\\bmust not say\\b|\\btoken smuggling\\b",
  },
];
const DECISIVE_RULES = ruleSet(DECISIVE.map((one) => one.source));

/** `learned` is part of the policy's layer `ml`; absent: judged by the other layers alone. */
export function jailbreakGuard(
  policy: JailbreakPolicy,
  layers: readonly TextLayer[] = [],
  learned?: LearnedLayer,
): Guard {
  return {
    name: NAME,
    check: (action, context) => {
      if (action.type !== "custom") return undefined;
      if (action.kind !== "user_input" && action.kind !== "hushclaw.user_input") return undefined;
      const payload = textPayload(action.payload);
      if (payload === undefined) return deny(NAME, "error", "Payload must be a text or {text}", "bad_payload");
      return judge(payload, policy, context.dialect === "spine", layers, learned);
    },
  };
}

function judge(
  payload: TextPayload,
  policy: JailbreakPolicy,
  wide: boolean,
  layers: readonly TextLayer[],
  learned: LearnedLayer | undefined,
): GuardResult {
  const { detector } = policy;
  const { text: original } = payload;
  const form = canonicaliseText(original, detector.max_input_bytes, wide);
  const texts = [
    form.text,
    ...(wide ? textVariants(original, form.text, detector.max_input_bytes).map((one) => one.text) : []),
  ];
  const hits =
    texts.length === 1 ? heuristicHits(form.text) : new Set(texts.flatMap((text) => [...heuristicHits(text)]));
  const stats = statistics(form.text, form.invisibleStripped);
  const heuristic = detector.layers.heuristic
    ? sum(HEURISTICS.filter((one) => hits.has(one.id)).map((one) => one.weight))
    : 0;
  const statistical = detector.layers.statistical ? stats.signals.length * 0.2 : 0;
  const linear = detector.layers.ml ? linearRisk(hits, stats, detector.linear_model) : 0;
  // Upstream computes in 32-bit floats.
  const base = Math.fround(
    Math.fround(0.55 * Math.min(1, heuristic / 3)) +
      Math.fround(0.2 * Math.min(1, statistical)) +
      Math.fround(0.25 * linear),
  );
  let score = Math.round(Math.min(1, Math.max(0, base)) * 100);
  const signals = [
    ...(detector.layers.heuristic ? HEURISTICS.filter((one) => hits.has(one.id)).map((one) => one.id) : []),
    ...(detector.layers.statistical ? stats.signals : []),
  ];
  const extra: Record<string, unknown> = {};
  if (wide) {
    for (const at of new Set(texts.flatMap((text) => [...DECISIVE_RULES.matches(text)]).sort((a, b) => a - b))) {
      const { id, score: least } = DECISIVE[at] as (typeof DECISIVE)[number];
      signals.push(id);
      score = Math.max(score, least);
    }
    if (form.truncated) {
      // Whoever can pad a text must not get its end past the scan.
      signals.push("scan_truncated");
      score = Math.max(score, detector.warn_threshold);
    }
    if (detector.layers.ml && learned !== undefined) {
      const suspicion = learned.judge("user", texts, protectedBy(payload.instructions));
      if (suspicion.level !== "none") signals.push(suspicion.level === "sure" ? "learned_jailbreak" : "learned_doubt");
      score = Math.max(score, suspicion.points);
      extra["learned"] = suspicionDetails(suspicion);
    }
    for (const layer of layers) {
      const risk = Math.min(1, Math.max(0, layer.risk(form.text)));
      extra[layer.name] = risk;
      score = Math.max(score, Math.round(risk * 100));
    }
  }
  const category = score >= 85 ? "confirmed" : score >= 60 ? "likely" : score >= 25 ? "suspicious" : "safe";
  const details = {
    fingerprint: fingerprint(original),
    severity: category,
    risk_score: score,
    signals,
    canonicalization: canonicalDetails(form),
    layers: { heuristic, statistical, ml: linear, ...extra },
  };
  const severity: Severity =
    category === "confirmed"
      ? "critical"
      : category === "likely"
        ? "error"
        : category === "suspicious"
          ? "warning"
          : "info";
  if (score >= detector.block_threshold)
    return deny(NAME, severity, "Jailbreak attempt detected", "jailbreak", details);
  if (score >= detector.warn_threshold) return warn(NAME, "Possible jailbreak attempt", "jailbreak_suspected", details);
  return allow(NAME, details);
}

function heuristicHits(text: string): ReadonlySet<string> {
  return new Set(HEURISTIC_RULES.matches(text).map((at) => (HEURISTICS[at] as (typeof HEURISTICS)[number]).id));
}

interface Statistics {
  readonly signals: readonly string[];
  readonly punctuation: number;
  readonly symbolRun: boolean;
}

const isWord = /[\p{L}\p{N}\s]/u;
const ASCII_SYMBOL = Uint8Array.from({ length: 128 }, (_, code) => (isWord.test(String.fromCharCode(code)) ? 0 : 1));

function statistics(text: string, stripped: number): Statistics {
  let symbols = 0;
  let visible = 0;
  let run = 0;
  let longest = 0;
  const counts = new Uint32Array(128);
  let ascii = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.codePointAt(at) as number;
    if (code > 0xffff) at++;
    let symbol: boolean;
    if (code < 128) {
      symbol = ASCII_SYMBOL[code] === 1;
      counts[code] = (counts[code] as number) + 1;
      ascii++;
    } else symbol = !isWord.test(String.fromCodePoint(code));
    if (code !== 32) visible++;
    if (symbol) symbols++;
    run = symbol ? run + 1 : 0;
    longest = Math.max(longest, run);
  }
  const punctuation = visible === 0 ? 0 : symbols / visible;
  let entropy = 0;
  for (const count of counts) if (count > 0) entropy -= (count / ascii) * Math.log2(count / ascii);
  const signals = [
    ...(punctuation >= 0.35 ? ["stat_punctuation_ratio_high"] : []),
    ...(entropy >= 4.8 ? ["stat_char_entropy_high"] : []),
    ...(stripped > 0 ? ["stat_zero_width_obfuscation"] : []),
    ...(longest >= 12 ? ["stat_long_symbol_run"] : []),
  ];
  return { signals, punctuation, symbolRun: longest >= 12 };
}

/** A logistic model over the same hits: no independent evidence, kept because the documented score contains it. */
function linearRisk(hits: ReadonlySet<string>, stats: Statistics, model: Readonly<Record<string, number>>): number {
  const weight = (name: string): number => model[name] ?? 0;
  const linear =
    weight("bias") +
    sum(HEURISTICS.filter((one) => hits.has(one.id)).map((one) => weight(one.linear))) +
    weight("w_punct") * Math.min(1, 2 * stats.punctuation) +
    (stats.symbolRun ? weight("w_symbol_run") : 0);
  return 1 / (1 + Math.exp(-linear));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
