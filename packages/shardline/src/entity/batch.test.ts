import { describe, expect, test } from 'vitest';
import { Batcher } from './batch.js';

function setUp(maxBatch = 100) {
  const calls: number[][] = [];
  const batcher = new Batcher<number, string>({
    identityOf: String,
    maxBatch,
    loadMany: async (keys) => {
      calls.push([...keys]);
      return new Map(keys.filter((key) => key < 100).map((key) => [`${key}`, `value ${key}`]));
    },
  });
  return { batcher, calls };
}

describe('Batcher', () => {
  test('what one tick asks for is one call, each key once', async () => {
    const { batcher, calls } = setUp();
    const values = await Promise.all([3, 1, 3, 2].map((key) => batcher.load(key)));
    expect(values).toEqual(['value 3', 'value 1', 'value 3', 'value 2']);
    expect(calls).toEqual([[3, 1, 2]]);
  });

  test('a later tick is a later call', async () => {
    const { batcher, calls } = setUp();
    await batcher.load(1);
    await batcher.load(1);
    expect(calls).toEqual([[1], [1]]);
  });

  test('a key without a value is undefined, not an error', async () => {
    const { batcher } = setUp();
    expect(await batcher.load(500)).toBeUndefined();
  });

  test('more keys than a batch takes go side by side', async () => {
    const { batcher, calls } = setUp(2);
    await Promise.all([1, 2, 3, 4, 5].map((key) => batcher.load(key)));
    expect(calls).toEqual([[1, 2], [3, 4], [5]]);
  });

  test('a failed call fails all of its batch and none of the next', async () => {
    let isDown = true;
    const batcher = new Batcher<number, string>({
      identityOf: String,
      maxBatch: 10,
      loadMany: async (keys) => {
        if (isDown) throw new Error('down');
        return new Map(keys.map((key) => [`${key}`, 'up']));
      },
    });
    const first = await Promise.allSettled([batcher.load(1), batcher.load(2)]);
    expect(first.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    isDown = false;
    expect(await batcher.load(1)).toBe('up');
  });
});
