import { codeOf } from '../errors.js';

/** What says that the server is not there, as opposed to slow. */
const DEFINITE_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOTFOUND',
  '57P01',
  '57P02',
  '57P03',
]);

/** Whether a server is certainly not there: the reason may lie under a wrapper or two. */
export function isDefiniteFailure(error: unknown): boolean {
  for (let current = error, depth = 0; current != null && depth < 5; depth += 1) {
    if (DEFINITE_CODES.has(codeOf(current) ?? '')) return true;
    current = (current as { cause?: unknown }).cause;
  }
  return false;
}
