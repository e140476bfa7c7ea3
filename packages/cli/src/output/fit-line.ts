/** Cuts a line to the width of a terminal (pure). */

const ESCAPE = '\u001b';
/** One colour code, or one character. */
const PIECE = new RegExp(`${ESCAPE}\\[[\\d;]*m|[\\s\\S]`, 'gu');
const ENDS_COLOURS = `${ESCAPE}[0m`;

/** The line, if it is no wider; else its beginning with an ellipsis, and colours ended where it was cut. */
export function fitLine(line: string, width: number): string {
  const pieces = line.match(PIECE) ?? [];
  const isColour = (piece: string) => piece.length > 1 && piece.startsWith(ESCAPE);
  if (pieces.filter((piece) => !isColour(piece)).length <= width) return line;
  let cut = '';
  let shown = 0;
  for (const piece of pieces) {
    if (!isColour(piece)) {
      if (shown >= width - 1) break;
      shown += 1;
    }
    cut += piece;
  }
  return `${cut}${width > 0 ? '…' : ''}${line.includes(ESCAPE) ? ENDS_COLOURS : ''}`;
}
