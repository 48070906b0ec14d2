/** Whether a shell wildcard and a policy glob can name the same file: a search over pairs of positions, so polynomial. */

/**
 * `word` in shell terms: `*` and `?` stop at `/` and do not match a leading dot. `pattern` in the policy's path dialect.
 * Character classes count as any one character on both sides, so the answer errs towards true.
 */
export function mayMatch(word: string, pattern: string): boolean {
  const a = shellTokens(word);
  const b = policyTokens(pattern);
  if (a.length > 1024 || b.length > 1024) return true;
  const seen = new Set<number>();
  const stack: [number, number][] = [[0, 0]];
  while (stack.length > 0) {
    const [i, j] = stack.pop() as [number, number];
    const key = i * (b.length + 1) + j;
    if (seen.has(key)) continue;
    seen.add(key);
    if (i === a.length && j === b.length) return true;
    const x = a[i];
    const y = b[j];
    // A star may end here, on either side.
    if (x === "*") stack.push([i + 1, j]);
    if (y === "*") stack.push([i, j + 1]);
    if (x === undefined || y === undefined) continue;
    if (!overlap(x, y, i === 0 || a[i - 1] === "/")) continue;
    const nextA = x === "*" ? [i, i + 1] : [i + 1];
    const nextB = y === "*" ? [j, j + 1] : [j + 1];
    for (const p of nextA) for (const q of nextB) stack.push([p, q]);
  }
  return false;
}

/** Can both tokens read one same character? */
function overlap(x: string, y: string, segmentStart: boolean): boolean {
  const wildX = x === "*" || x === "?";
  const wildY = y === "*" || y === "?";
  if (!wildX && !wildY) return x === y;
  if (!wildX) return true;
  if (!wildY) return y !== "/" && !(y === "." && segmentStart);
  return true;
}

function shellTokens(word: string): readonly string[] {
  return [...word.replace(/\[[^\]/]+\]/g, "?")];
}

/** `**` + `/` at a component's start may be empty: written as a star, which also may, it only widens the answer. */
function policyTokens(pattern: string): readonly string[] {
  return [
    ...pattern
      .replace(/\[[^\]]+\]/g, "?")
      .replace(/^\*\*\//, "*/")
      .replace(/\/\*\*\//g, "/*")
      .replace(/\*\*/g, "*"),
  ];
}
