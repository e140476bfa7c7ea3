import { isShardlineError } from '@shardline/core';
import { describe, expect, it } from 'vitest';
import { waitUntil } from './wait-until.js';

describe('waiting for a condition', () => {
  it('gives what the look found, and takes a throw for not yet', async () => {
    let looks = 0;
    const found = await waitUntil(
      () => {
        looks += 1;
        if (looks === 1) throw new Error('not there');
        return looks === 3 ? 'there' : undefined;
      },
      { what: 'the third look' },
    );
    expect(found).toBe('there');
    expect(looks).toBe(3);
  });

  it('takes 0 and an empty text for found', async () => {
    expect(await waitUntil(() => 0, { what: 'nought' })).toBe(0);
    expect(await waitUntil(() => '', { what: 'an empty text' })).toBe('');
  });

  it('says what it waited for and why the last look failed', async () => {
    const failure = await waitUntil(
      () => {
        throw new Error('3 of 4 rows');
      },
      { what: '4 rows', within: '50ms' },
    ).catch((error) => error);
    expect(isShardlineError(failure, 'TESTKIT_WAIT_EXPIRED')).toBe(true);
    expect(failure.message).toMatch(/Waited 50ms in vain for 4 rows; .*3 of 4 rows/);
    expect(failure.cause.message).toBe('3 of 4 rows');
  });

  it('does not outlast its time with a look that never ends, and keeps what was seen before', async () => {
    let looks = 0;
    const failure = await waitUntil(
      () => {
        looks += 1;
        if (looks === 1) throw new Error('seen at first');
        return new Promise<boolean>(() => {});
      },
      { what: 'a frozen server', within: '500ms' },
    ).catch((error) => error);
    // A timer may end a look a moment before the time is up, and leave room for one more.
    expect(looks).toBeGreaterThanOrEqual(2);
    expect(failure.message).toMatch(/a frozen server; .*seen at first/);
  });

  it('ends when the caller gives up', async () => {
    const controller = new AbortController();
    const waiting = waitUntil(() => false, { what: 'never', signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
  });
});
