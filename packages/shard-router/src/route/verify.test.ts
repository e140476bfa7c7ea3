import { describe, expect, test } from 'vitest';
import { OwnershipCheck } from './verify.js';

/** A shard whose answers are let go by hand. */
function scripted() {
  const questions: {
    slots: readonly number[];
    answer: (epochs: Record<number, number>) => void;
    fail: (error: Error) => void;
  }[] = [];
  const primary = {
    query: (_: string, values?: readonly unknown[]) =>
      new Promise((resolve, reject) => {
        questions.push({
          slots: values?.[1] as number[],
          answer: (epochs) =>
            resolve({
              rows: Object.entries(epochs).map(([slot, epoch]) => ({
                slot: Number(slot),
                epoch: String(epoch),
              })),
              rowCount: null,
            }),
          fail: reject,
        });
      }),
  };
  return { questions, check: new OwnershipCheck(primary as never, 'k') };
}
const tick = () => new Promise((resolve) => setImmediate(resolve));

describe('OwnershipCheck', () => {
  test('reads that end together share one question', async () => {
    const { questions, check } = scripted();
    const answers = Promise.all([
      check.isOwnedSince(1, 5),
      check.isOwnedSince(2, 5),
      check.isOwnedSince(3, 5),
    ]);
    await tick();
    expect(questions.map(({ slots }) => slots)).toEqual([[1, 2, 3]]);
    questions[0]!.answer({ 1: 5, 2: 6 });
    expect(await answers).toEqual([true, false, false]);
  });

  test('a read that ends while a question is under way gets a later one', async () => {
    const { questions, check } = scripted();
    const first = check.isOwnedSince(1, 5);
    await tick();
    const second = check.isOwnedSince(1, 5);
    const third = check.isOwnedSince(4, 5);
    await tick();
    expect(questions).toHaveLength(1);
    questions[0]!.answer({ 1: 5 });
    expect(await first).toBe(true);
    await tick();
    expect(questions[1]!.slots).toEqual([1, 4]);
    questions[1]!.answer({ 1: 7, 4: 5 });
    expect(await Promise.all([second, third])).toEqual([false, true]);
  });

  test('a failed question fails those who asked it and nobody after', async () => {
    const { questions, check } = scripted();
    const first = check.isOwnedSince(1, 5);
    await tick();
    const second = check.isOwnedSince(1, 5);
    questions[0]!.fail(new Error('gone'));
    await expect(first).rejects.toThrow('gone');
    await tick();
    questions[1]!.answer({ 1: 5 });
    expect(await second).toBe(true);
  });
});
