/** Path-like words of a command line as upstream main finds them (spec/guards.md section 2.10): quotes and backslashes only. */

/** Redirect targets, right sides of `=`, and tokens that look like paths. */
export function upstreamCandidates(command: string): readonly string[] {
  const out: string[] = [];
  const words = tokenise(command);
  for (const [at, word] of words.entries()) {
    if (/^\d*(?:>>?|<)$/.test(word)) {
      const target = words[at + 1];
      if (target !== undefined) out.push(target);
      continue;
    }
    const glued = /^\d*(?:>>?|<)(.+)$/.exec(word);
    if (glued !== null) out.push(glued[1] as string);
    const equals = word.indexOf("=");
    if (equals >= 0 && looksLikePath(word.slice(equals + 1))) out.push(word.slice(equals + 1));
    if (looksLikePath(word)) out.push(word);
  }
  return out;
}

function looksLikePath(word: string): boolean {
  return (
    /^(?:\/|~|\.\/|\.\.\/)/.test(word) ||
    word === ".env" ||
    word.startsWith(".env.") ||
    ["/.ssh/", "/.aws/", "/.gnupg/"].some((part) => word.includes(part))
  );
}

function tokenise(command: string): readonly string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote: string | undefined;
  for (let at = 0; at < command.length; at++) {
    const char = command[at] as string;
    if (quote !== undefined) {
      if (char === quote) quote = undefined;
      else if (char === "\\" && quote === '"' && at + 1 < command.length) word = (word ?? "") + command[++at];
      else word = (word ?? "") + char;
    } else if (char === "'" || char === '"') {
      quote = char;
      word ??= "";
    } else if (char === "\\" && at + 1 < command.length) word = (word ?? "") + command[++at];
    else if (/[\s;|&()]/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? "") + char;
  }
  if (word !== undefined) words.push(word);
  return words;
}
