import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { defineErrors, isShardlineError, ShardlineError } from './errors.js';

const errors = defineErrors({
  TILL_EMPTY: { retryable: true, meaning: 'The till is empty.', remedy: 'Fill it.' },
});

describe('ShardlineError', () => {
  test('its message says what happened, what to do next, and where to read on', () => {
    const error = new ShardlineError(errors.TILL_EMPTY, 'Till 3 holds nothing.');
    expect(error.message).toMatch(
      /^Till 3 holds nothing\. Fill it\. \[TILL_EMPTY: https:\/\/.*\/TILL_EMPTY\.md\]$/,
    );
    expect(error).toMatchObject({ code: 'TILL_EMPTY', retryable: true, details: {} });
  });

  test('an occurrence may know better than the definition whether to retry', () => {
    const error = new ShardlineError(errors.TILL_EMPTY, 'Gone.', { retryable: false });
    expect(error.retryable).toBe(false);
  });

  test('keeps the cause, also an undefined one that was really thrown', () => {
    const cause = new Error('underneath');
    expect(new ShardlineError(errors.TILL_EMPTY, 'x.', { cause }).cause).toBe(cause);
    expect('cause' in new ShardlineError(errors.TILL_EMPTY, 'x.')).toBe(false);
  });

  test('is recognised by brand, also from another copy of the package', () => {
    const foreign = Object.assign(new Error('from the other copy'), {
      code: 'TILL_EMPTY',
      [Symbol.for('shardline.error')]: true,
    });
    expect(isShardlineError(foreign)).toBe(true);
    expect(isShardlineError(foreign, 'TILL_EMPTY')).toBe(true);
    expect(isShardlineError(foreign, 'TILL_FULL')).toBe(false);
    for (const other of [new Error('x'), null, undefined, 'TILL_EMPTY', { code: 'TILL_EMPTY' }]) {
      expect(isShardlineError(other)).toBe(false);
    }
  });

  test('shows its code when printed, and not the brand', () => {
    const printed = inspect(new ShardlineError(errors.TILL_EMPTY, 'Till 3 holds nothing.'));
    expect(printed).toContain("code: 'TILL_EMPTY'");
    expect(printed).not.toContain('Symbol(');
  });
});
