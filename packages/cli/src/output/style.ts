/** Colours, where somebody looks at them: on a terminal, and as `NO_COLOR` and `FORCE_COLOR` say. */

import { styleText } from 'node:util';

/** Marks parts of a text. Without colours each returns its text as it is. */
export interface Style {
  readonly isColoured: boolean;
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  cyan(text: string): string;
}

type Mark = Exclude<keyof Style, 'isColoured'>;

/** A style with colours or without. */
export function createStyle(isColoured: boolean): Style {
  // Whether there are colours has been decided already, for the stream that the text goes to.
  const mark = (format: Mark) => (text: string) =>
    isColoured && text !== '' ? styleText(format, text, { validateStream: false }) : text;
  return {
    isColoured,
    bold: mark('bold'),
    dim: mark('dim'),
    red: mark('red'),
    green: mark('green'),
    yellow: mark('yellow'),
    cyan: mark('cyan'),
  };
}

/** A style without colours, for documents and tests. */
export const plainStyle: Style = createStyle(false);

/**
 * Whether a stream gets colours. `FORCE_COLOR` decides where it is set, as Node itself has it; then `NO_COLOR`, then
 * whether the stream is a terminal that knows colours.
 */
export function wantsColour(
  stream: { readonly isTTY?: boolean },
  environment: Readonly<Record<string, string | undefined>>,
): boolean {
  const forced = environment['FORCE_COLOR'];
  if (forced !== undefined) return forced !== '0' && forced !== 'false';
  if ((environment['NO_COLOR'] ?? '') !== '') return false;
  return stream.isTTY === true && environment['TERM'] !== 'dumb';
}
