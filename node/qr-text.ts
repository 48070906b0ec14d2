/** A QR code as lines of text for a terminal, two rows a line. Used by `spine peers qr`. */
import { encodeQR } from "qr";
import { SpineError } from "../spine/index.ts";

/** Columns that a terminal is sure to have. */
export const MAX_QR_COLUMNS = 78;
/** Light modules that scanners want around the code. */
const QUIET = 4;

/**
 * Lines of at most 78 columns; light modules are blocks, so that the code is right on a dark terminal and merely inverted
 * on a light one. Throws `usage` for a text that needs a larger code.
 */
export function qrLines(text: string): readonly string[] {
  const modules = encodeQR(text, "raw", { ecc: "low", border: QUIET });
  const columns = modules[0]?.length ?? 0;
  if (columns > MAX_QR_COLUMNS)
    throw new SpineError("usage", `${text.length} characters are too many for a QR code here`);
  const lines: string[] = [];
  for (let row = 0; row < modules.length; row += 2) {
    const [upper, lower] = [modules[row] as boolean[], modules[row + 1]];
    const cells = upper.map((dark, column) => {
      const [light, lightBelow] = [!dark, lower === undefined ? false : lower[column] === false];
      return light ? (lightBelow ? "█" : "▀") : lightBelow ? "▄" : " ";
    });
    lines.push(cells.join(""));
  }
  return lines;
}
