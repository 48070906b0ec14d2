/**
 * Instructions hidden in untrusted text (spec/guards.md section 2.8): weighted signals on the canonical form. Our rule book
 * also reads decoded and folded variants, knows more phrasings, and lowers mentions in reports about attacks to a warning.
 */
import type { Guard } from "./guard.ts";
import { type LearnedLayer, type Suspicion, suspicionDetails } from "./model/learned-layer.ts";
import type { Level, PromptInjectionPolicy } from "./policy/effective.ts";
import { canonicalDetails, canonicaliseText, fingerprint } from "./text/canonical.ts";
import { protectedBy } from "./text/protected.ts";
import { ownRegex } from "./text/regex.ts";
import { ruleSet } from "./text/rule-set.ts";
import { hiddenTags, textVariants } from "./text/variants.ts";
import { allow, deny, type GuardResult, type Severity, warn } from "./verdict.ts";

const NAME = "prompt_injection";
const LEVELS: readonly Level[] = ["safe", "suspicious", "high", "critical"];

interface Signal {
  readonly id: string;
  readonly weight: number;
  readonly source: string;
}

function signal(id: string, weight: number, source: string): Signal {
  return { id, weight, source };
}

const CREDENTIAL = "(?:api key|secrets?|token|password|private key)";
const OUTBOUND = "(?:send|post|upload|exfiltrate\\w*|leak|reveal|print|dump)";

const EXTRACTION_SOURCE =
  "(?is)\\b(what(?:'s| is)|reveal|show|tell\\s+me|repeat|print|output|display|copy)\\b.{0,64}\\b(system prompt|developer (message|instructions|prompt)|hidden (instructions|prompt)|system (instructions|message|prompt))\\b";
const EXTRACTION = ownRegex(EXTRACTION_SOURCE);

const SIGNALS: readonly Signal[] = [
  signal(
    "ignore_previous_instructions",
    3,
    "(?is)\\b(ignore|disregard)\\b.{0,64}\\b(previous|prior|above|earlier)\\b.{0,64}\\b(instructions?|directions?|rules)\\b",
  ),
  signal(
    "system_prompt_mentions",
    2,
    "(?i)\\b(system prompt|developer (message|instructions|prompt)|hidden (instructions|prompt)|system instructions|jailbreak)\\b",
  ),
  signal("prompt_extraction_request", 4, EXTRACTION_SOURCE),
  signal("tool_invocation_language", 1, "(?i)\\b(call|invoke|run|execute)\\b.{0,32}\\b(tool|function)\\b"),
  signal(
    "security_bypass_language",
    3,
    "(?is)\\b(ignore|disregard|bypass|override|disable|skip)\\b.{0,48}\\b(guardrails?|guard|policy|security|safety|filters?|protections?)\\b",
  ),
  signal(
    "credential_exfiltration",
    6,
    `(?is)\\b${CREDENTIAL}\\b.{0,96}\\b${OUTBOUND}\\b|\\b${OUTBOUND}\\b.{0,96}\\b${CREDENTIAL}\\b`,
  ),
];

/** Phrasings upstream does not know. Only the `spine` rule book uses them. */
const FURTHER: readonly Signal[] = [
  signal(
    "forget_previous_instructions",
    3,
    "(?is)\\b(forget|discard|drop|erase)\\b.{0,32}\\b(everything|all|anything|your|the|previous|prior|earlier)\\b.{0,48}\\b(told|said|instructions?|rules|prompts?|context|guidelines)\\b",
  ),
  signal(
    "override_german",
    3,
    "(?is)\\b(ignorier\\w*|vergiss|missachte\\w*)\\b.{0,48}\\b(vorherig\\w*|bisherig\\w*|obig\\w*|alle\\w*)\\b.{0,48}\\b(anweisung\\w*|befehl\\w*|regel\\w*|instruktion\\w*|vorgaben)\\b",
  ),
  signal(
    "override_french",
    3,
    "(?is)\\b(ignore[zr]?|oublie[zr]?)\\b.{0,48}\\b(instructions?|consignes|regles|directives)\\b.{0,32}\\b(precedentes?|ci-dessus|anterieures?)\\b",
  ),
  signal(
    "override_spanish",
    3,
    "(?is)\\b(ignora\\w*|olvida\\w*)\\b.{0,48}\\b(instrucciones|ordenes|reglas|indicaciones)\\b",
  ),
  signal(
    "override_italian_portuguese",
    3,
    "(?is)\\b(ignor[aei]\\w*|dimentica\\w*|esque[cç]a\\w*)\\b.{0,48}\\b(istruzioni|regole|instrucoes|regras)\\b",
  ),
  signal(
    "override_chinese",
    3,
    "(忽略|无视|忘记|忽視|無視).{0,12}(之前|以上|前面|所有|先前).{0,12}(指令|指示|提示|规则|規則|说明)",
  ),
  signal("override_japanese", 3, "(以前|前|上記|これまで).{0,8}(指示|命令|ルール|プロンプト).{0,8}(無視|忘れ)"),
  signal("override_korean", 3, "(이전|위의|모든).{0,12}(지시|명령|규칙).{0,12}(무시|잊)"),
  signal("override_russian", 3, "(?is)(игнорируй\\w*|забудь\\w*).{0,48}(инструкци\\w*|указани\\w*|правил\\w*)"),
  signal(
    "override_dutch_scandinavian",
    3,
    "(?is)\\b(negeer|vergeet|ignorera|ignorer|glem|glom)\\b.{0,48}\\b(instructies|instruktioner|instruksjoner|instrukser|regels|regler)\\b",
  ),
  signal(
    "override_polish_turkish",
    3,
    "(?is)\\b(zignoruj|zapomnij)\\b.{0,48}\\b(instrukcj\\w*|polece\\w*)|\\b(onceki|tum)\\b.{0,48}\\b(talimat\\w*|komut\\w*)\\b.{0,32}\\b(yok say\\w*|unut\\w*|gormezden)",
  ),
  signal("override_arabic", 3, "(تجاهل|انس).{0,32}(التعليمات|الأوامر|السابقة)"),
  signal("override_hindi", 3, "(निर्देश|आदेश).{0,32}(अनदेखा|नज़रअंदाज़|भूल|नजरअंदाज)"),
  signal(
    "exfiltration_by_image",
    3,
    "(?is)!\\[[^\\]]{0,80}\\]\\(https?://[^)\\s]{1,200}[?&][a-z0-9_]{1,32}=(?:[{$<\\[]|data|secret|history)",
  ),
  signal(
    "addressed_to_agents",
    3,
    "(?is)\\b(ai|llm|language model|assistant|chat\\s?bot)s?\\b(?: agents?| models?| assistants?)?.{0,48}\\b(must|should|need to|have to|are (?:required|instructed) to)\\b.{0,48}\\b(run|execute|call|invoke|send|visit|open|click|fetch|download|include|append|say|output|ignore)\\b",
  ),
  signal(
    "hidden_comment_instruction",
    3,
    "(?is)<!--.{0,200}\\b(must|ignore|run|execute|instructions?|assistant|agents?)\\b.{0,200}-->",
  ),
  signal(
    "exfiltration_by_url",
    6,
    "(?is)\\b(append|add|include|attach|put|encode|embed)\\b.{0,96}\\b(api[_ ]?keys?|secrets?|tokens?|passwords?|credentials?|configuration|conversation|history|environment)\\b.{0,96}\\b(urls?|links?|query|images?|https?)\\b",
  ),
  signal(
    "role_markers",
    2,
    "(?i)(<\\|im_start\\|>|<\\|system\\|>|\\[/?inst\\]|<<sys>>|^\\s*(?:system|assistant)\\s*:|\\n\\s*(?:###\\s*)?(?:system|assistant)\\s*:)",
  ),
  signal(
    "instruction_override",
    2,
    "(?is)\\b(ignore|disregard|forget|override|stop following|do not follow|don't follow|abandon)\\b.{0,24}\\b(your|the|all|any|these|those)\\b.{0,24}\\b(instructions?|programming|guidelines|directives?|system message)\\b",
  ),
  signal("disregard_the_above", 2, "(?is)\\b(ignore|disregard|forget)\\b.{0,16}\\b(above|foregoing|preceding)\\b"),
  signal(
    "instructions_void",
    2,
    "(?is)\\binstructions?\\b.{0,24}\\b(never existed|do not exist|no longer apply|are (?:void|cancelled|canceled|obsolete))\\b",
  ),
  signal(
    "secrecy_demand",
    2,
    "(?is)\\b(do not|don't|never|without)\\b.{0,16}\\b(tell|telling|inform|informing|mention|mentioning|notify|notifying|alert|alerting)\\b.{0,24}\\b(user|human|operator|owner|anyone)\\b",
  ),
  signal(
    "role_takeover",
    2,
    "(?is)\\byou are now\\b.{0,24}\\b(unrestricted|unfiltered|uncensored|root|admin|dan|in \\w+ mode)\\b|\\byou must now\\b.{0,48}\\b(act|send|email|run|execute|ignore|forward|delete)\\b",
  ),
  signal(
    "credential_request",
    2,
    "(?is)\\b(paste|provide|share|give|disclose|output|email|send|print)\\b.{0,32}\\b(your api keys?|your (?:private |secret )?keys?|admin password|(?:all|the) (?:secrets|credentials))\\b",
  ),
  signal(
    "new_instructions",
    3,
    "(?is)\\b(new|updated|real|actual|important)\\s+(instructions?|task|objective|directive)s?\\b.{0,24}\\b(follow|below|are|is|:)",
  ),
];

const UPSTREAM_RULES = ruleSet(SIGNALS.map((one) => one.source));
const ALL_SIGNALS: readonly Signal[] = [...SIGNALS, ...FURTHER];
const ALL_RULES = ruleSet(ALL_SIGNALS.map((one) => one.source));

/** Outbound verbs that ordinary prose uses too, and what makes them an order to send something somewhere. */
const STRONG_OUTBOUND = ownRegex("(?i)\\b(?:exfiltrate\\w*|leak|reveal|dump)\\b");
const DESTINATION = ownRegex(
  "(?i)https?://|\\S@\\S|\\b(?:webhook|endpoint|url|server|to me|to us|to this|following address|attacker)\\b",
);

/** Weight of a text that the learned layer is sure of. */
const SURE = 3;
/** Signals of single words, which long texts are full of: there, up to this score, they count only if the learned layer doubts. */
const FAINT = 2;
const PROSE = 200;
const WORDY: ReadonlySet<string> = new Set([
  "tool_invocation_language",
  "security_bypass_language",
  "credential_exfiltration",
  "role_markers",
]);

/** Words of someone who writes about attacks, not to a model. */
const REPORTING = ownRegex(
  "(?i)\\b(article|paper|chapter|report|study|researchers?|attackers?|example|describes?|explains?|so-called|phrase|quote[sd]?|known as)\\b",
);

/** `learned` absent: judged by the rules alone. */
export function promptInjectionGuard(policy: PromptInjectionPolicy, learned?: LearnedLayer): Guard {
  return {
    name: NAME,
    check: (action, context) => {
      if (action.type !== "custom") return undefined;
      if (action.kind !== "untrusted_text" && action.kind !== "hushclaw.untrusted_text") return undefined;
      const payload = textPayload(action.payload);
      if (payload === undefined) return deny(NAME, "error", "Payload must be a text or {text, source?}", "bad_payload");
      return judge(payload, policy, context.dialect === "spine", learned);
    },
  };
}

export interface TextPayload {
  readonly text: string;
  readonly source?: string;
  /** The instructions of the model that is going to read the text, when the caller passes them along. */
  readonly instructions?: string;
}

export function textPayload(payload: unknown): TextPayload | undefined {
  if (typeof payload === "string") return { text: payload };
  if (typeof payload !== "object" || payload === null) return undefined;
  const { text, source, instructions } = payload as { text?: unknown; source?: unknown; instructions?: unknown };
  if (typeof text !== "string") return undefined;
  return {
    text,
    ...(typeof source === "string" && { source: source.slice(0, 256) }),
    ...(typeof instructions === "string" && { instructions }),
  };
}

function judge(
  payload: TextPayload,
  policy: PromptInjectionPolicy,
  wide: boolean,
  learned: LearnedLayer | undefined,
): GuardResult {
  const form = canonicaliseText(payload.text, policy.max_scan_bytes, wide);
  const ids: string[] = [];
  let score = 0;
  let heaviest = 0;
  const add = (id: string, weight: number): void => {
    if (ids.includes(id)) return;
    ids.push(id);
    score += weight;
    heaviest = Math.max(heaviest, weight);
  };
  if (form.invisibleStripped > 0) add("obfuscation_zero_width", 1);
  const read = (text: string): boolean => {
    const before = ids.length;
    for (const at of (wide ? ALL_RULES : UPSTREAM_RULES).matches(text)) {
      const { id, weight } = ALL_SIGNALS[at] as Signal;
      add(id, weight);
    }
    return ids.length > before;
  };
  read(form.text);
  let suspicion: Suspicion | undefined;
  if (wide) {
    const variants = textVariants(payload.text, form.text, policy.max_scan_bytes);
    if (hiddenTags(payload.text) !== "") add("hidden_tag_characters", 3);
    for (const variant of variants) {
      // Whoever encodes an instruction means to hide it.
      if (read(variant.text) && variant.kind !== "accents") add(`hidden_by_${variant.kind.replace(/ /g, "_")}`, 1);
    }
    ({ score, heaviest } = tempered(form.text, ids, score, heaviest));
    suspicion = learned?.judge(
      "foreign",
      [form.text, ...variants.map((variant) => variant.text)],
      protectedBy(payload.instructions),
    );
    if (suspicion?.level === "sure") add("learned_injection", SURE);
    else if (suspicion?.level === "doubt") add("learned_doubt", 1);
    else if (suspicion !== undefined && score <= FAINT && form.text.length >= PROSE && ids.every((id) => WORDY.has(id)))
      score = heaviest = 0;
  }
  // Whoever can pad a text must not get its end past the scan.
  if (wide && form.truncated) add("scan_truncated", 1);
  const level: Level = heaviest >= 6 ? "critical" : score >= 3 ? "high" : score >= 1 ? "suspicious" : "safe";
  const details = {
    ...(payload.source !== undefined && { source: payload.source }),
    fingerprint: fingerprint(payload.text),
    level,
    score,
    signals: ids,
    ...(suspicion !== undefined && { learned: suspicionDetails(suspicion) }),
    canonicalization: canonicalDetails(form),
  };
  const rank = LEVELS.indexOf(level);
  if (rank >= LEVELS.indexOf(policy.block_at_or_above)) {
    const severity: Severity = level === "critical" ? "critical" : level === "safe" ? "info" : "error";
    return deny(NAME, severity, `Untrusted text looks like an injected instruction (${level})`, "injection", details);
  }
  if (rank >= LEVELS.indexOf(policy.warn_at_or_above)) {
    return warn(NAME, `Untrusted text is ${level}`, "injection_suspected", details);
  }
  return allow(NAME, details);
}

/**
 * Two signals hit ordinary prose: bypass words with a security word in reach, and quoted instructions in texts about
 * attacks. Alone they are worth a warning, not a denial.
 */
function tempered(
  text: string,
  ids: readonly string[],
  score: number,
  heaviest: number,
): { score: number; heaviest: number } {
  if (ids.length === 0) return { score, heaviest };
  const alone = (id: string): boolean => ids.length === 1 && ids[0] === id;
  if (alone("credential_exfiltration") && !STRONG_OUTBOUND.test(text) && !DESTINATION.test(text)) {
    return { score: 2, heaviest: 2 };
  }
  // "What is a system prompt?" asks for the meaning of a word.
  const asks = ids.every((id) => id === "system_prompt_mentions" || id === "prompt_extraction_request");
  if (asks && !EXTRACTION.test(text.replace(/\bwhat(?:'s| is) an?\b/g, ""))) {
    return { score: 2, heaviest: 2 };
  }
  if (alone("security_bypass_language")) return { score: 2, heaviest: 2 };
  const quoted = /['"‘’“”«»`].{0,80}['"‘’“”«»`]/.test(text);
  if (
    quoted &&
    heaviest <= 3 &&
    ids.length <= 2 &&
    !ids.some((id) => id.startsWith("hidden_")) &&
    REPORTING.test(text)
  ) {
    return { score: 2, heaviest: 2 };
  }
  return { score, heaviest };
}
