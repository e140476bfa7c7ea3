/** Whether there is somebody to ask, and if not, what says so (pure). */

import type { Host } from './host.js';

/** How the answer is printed. */
export type Format = 'text' | 'json' | 'ndjson';

/** Why nobody can be asked, as the end of a sentence; undefined if somebody can. */
export function whyNotInteractive(
  host: Pick<Host, 'environment' | 'input' | 'errors'>,
  format: Format,
): string | undefined {
  if (format !== 'text') return `the output is ${format}`;
  const ci = host.environment['CI'];
  if (ci !== undefined && ci !== '' && ci !== 'false' && ci !== '0') {
    return `the environment variable CI is set to '${ci}'`;
  }
  if (host.input.isTTY !== true) return 'standard input is no terminal';
  if (host.errors.isTTY !== true) return 'standard error is no terminal';
  if (host.environment['TERM'] === 'dumb') return "the environment variable TERM is 'dumb'";
  return undefined;
}
