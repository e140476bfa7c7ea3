import { createHash } from 'node:crypto';
import { ShardlineError } from '@shardline/core';
import { ratelimitErrors } from '../errors.js';

/** Subjects up to this length are part of the key as they are; longer ones by their hash. */
const LONGEST_PLAIN = 200;
/** Beyond this, hashing itself would be the attack. */
const LONGEST = 65_536;

/**
 * The subject as it stands between the braces of a key: `rl:{subject}:policy`. The braces make
 * Redis Cluster place all limits of one subject in one slot, so a brace inside must not end them early.
 *
 * @throws ShardlineError `RATELIMIT_SUBJECT_INVALID` for an empty or enormous subject.
 */
export function subjectTag(subject: string): string {
  if (typeof subject !== 'string' || subject.length === 0 || subject.length > LONGEST) {
    throw invalid(subject);
  }
  if (subject.length > LONGEST_PLAIN) {
    return `sha256-${createHash('sha256').update(subject).digest('base64url')}`;
  }
  return NEEDS_ESCAPE.test(subject) ? subject.replaceAll(/[{}%]/g, encodeURIComponent) : subject;
}

const NEEDS_ESCAPE = /[{}%]/;

function invalid(subject: unknown): ShardlineError {
  const received =
    typeof subject === 'string'
      ? `${subject.length} characters`
      : subject === null
        ? 'null'
        : typeof subject;
  return new ShardlineError(
    ratelimitErrors.RATELIMIT_SUBJECT_INVALID,
    `A subject must be a string of 1 to ${LONGEST} characters, received ${received}.`,
  );
}
