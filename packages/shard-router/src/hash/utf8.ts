/**
 * UTF-8 without an allocation per call.
 *
 * Keys are short and nearly always ASCII, so the hashes read those straight from the string and never
 * come here. What is left is encoded into one buffer that every call shares: the hashes are
 * synchronous, so nobody can be halfway through when the next one begins.
 */

import { ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';

const encoder = new TextEncoder();
let scratch = new Uint8Array(1024);

/** The buffer that `encodeUtf8` has last written into. */
export function utf8Scratch(): Uint8Array {
  return scratch;
}

/**
 * Writes a text as UTF-8 into the shared buffer and returns how many bytes it has.
 *
 * @throws ShardlineError `KEY_INVALID` for half a surrogate pair: it has no UTF-8, and replacing it, as
 * `TextEncoder` does, would give every such key one and the same hash.
 */
export function encodeUtf8(text: string): number {
  if (!text.isWellFormed()) {
    throw new ShardlineError(
      routerErrors.KEY_INVALID,
      'A text to be hashed holds half a surrogate pair, which has no UTF-8.',
    );
  }
  // A UTF-16 unit takes at most three bytes; a pair of units takes four.
  if (scratch.length < text.length * 3) scratch = new Uint8Array(text.length * 3);
  return encoder.encodeInto(text, scratch).written;
}
