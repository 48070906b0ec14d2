/** Verbs that read cases: one answer per line, in order, whatever a line holds. */
import { asSpineError, fromHex, SpineError } from "../../spine/index.ts";
import { openInput } from "../input.ts";
import { type Line, lineBytes, lineText, splitLines } from "../lines.ts";
import type { VerbContext, VerbOption } from "./verb.ts";

export interface CaseRefusal {
  readonly ok: false;
  readonly code: string;
  readonly message: string;
}
export type CaseAnswer = ({ readonly ok: true } & Record<string, unknown>) | CaseRefusal;

export const HEX_OPTION: VerbOption = { type: "boolean", help: "Each line is the hex of the item's bytes." };

export function refuseCase(caught: unknown): CaseRefusal {
  const error = asSpineError(caught);
  return { ok: false, code: error.code, message: error.message };
}

/** The item's bytes: the line itself, or what its hex says (an optional 0x and white space around it are dropped). */
export function caseBytes(line: Line, hex: boolean): Uint8Array {
  if (!hex) return lineBytes(line);
  return fromHex(lineText(line).trim().replace(/^0x/, ""));
}

/** Answers a line by `read` alone. */
export function eachLine(read: (line: Line) => CaseAnswer): (lines: readonly Line[]) => Promise<readonly CaseAnswer[]> {
  return async (lines) =>
    lines.map((line) => {
      try {
        return read(line);
      } catch (caught) {
        return refuseCase(caught);
      }
    });
}

/** Reads the first operand and writes the answers of each batch at once. Exit code 1 when any line was refused. */
export async function runCases(
  context: VerbContext,
  answer: (lines: readonly Line[]) => Promise<readonly CaseAnswer[]>,
): Promise<number> {
  let refused = 0;
  for await (const lines of splitLines(await openInput(context.operands[0], context.signal))) {
    const answers = await answer(lines);
    if (answers.length !== lines.length) throw new SpineError("internal", "an answer is missing");
    let text = "";
    answers.forEach((one, index) => {
      if (!one.ok) refused++;
      text += `${JSON.stringify({ line: (lines[index] as Line).number, ...one })}\n`;
    });
    await context.out.write(text);
  }
  return refused === 0 ? 0 : 1;
}
