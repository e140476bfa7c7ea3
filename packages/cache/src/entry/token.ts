import { randomFillSync } from 'node:crypto';
import { TOKEN_BYTES } from './frame.js';

/** Tokens made at a time: the system is asked for randomness once for all of them, which is most of a token's cost. */
const TOKENS_AT_ONCE = 256;

let pool = Buffer.alloc(0);
let used = 0;

/** A token that nobody had before. */
export function newToken(): Buffer {
  if (used === pool.length) {
    // A new buffer each time: tokens given out are parts of the old one.
    pool = randomFillSync(Buffer.allocUnsafeSlow(TOKENS_AT_ONCE * TOKEN_BYTES));
    used = 0;
  }
  used += TOKEN_BYTES;
  return pool.subarray(used - TOKEN_BYTES, used);
}
