import type { OutputStream } from '../host.js';

const CURSOR_AND_WRAPPING = '\u001b[?25h\u001b[?7h';

/**
 * Gives a terminal its cursor back, whether it was taken or not.
 *
 * A Ctrl-C throws away what was sent to the terminal and is not shown yet: so also the codes by which bars that were closed a
 * moment before gave it back. Whoever leaves because of one sends them once more.
 */
export function restoreTerminal(stream: OutputStream): void {
  if (stream.isTTY === true) stream.write(CURSOR_AND_WRAPPING);
}
