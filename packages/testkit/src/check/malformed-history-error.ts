/**
 * Thrown when a history cannot be judged at all: a torn line in the middle of a file, an operation
 * that returned twice, a field that a checker needs and does not find. A history that can be read
 * but is *wrong* is never thrown; it is a violation in the verdict.
 *
 * @example
 * ```ts
 * import { MalformedHistoryError, parseHistory } from '@shardline/testkit/check';
 *
 * try {
 *   parseHistory([{ source: 'worker-1.jsonl', text: 'not a record\n' }]);
 * } catch (error) {
 *   if (!(error instanceof MalformedHistoryError)) throw error;
 *   // error.source is 'worker-1.jsonl', error.line is 1
 * }
 * ```
 */
export class MalformedHistoryError extends Error {
  readonly code = 'HISTORY_MALFORMED';
  /** The file that holds the fault, where it is known. */
  readonly source: string | undefined;
  /** The line in that file, counted from 1. */
  readonly line: number | undefined;

  constructor(message: string, where: { source?: string; line?: number } = {}) {
    const place = where.source === undefined ? '' : `${where.source}:${where.line ?? '?'}: `;
    super(`${place}${message}`);
    this.name = 'MalformedHistoryError';
    this.source = where.source;
    this.line = where.line;
  }
}
