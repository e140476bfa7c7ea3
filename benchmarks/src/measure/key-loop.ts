import type { Contender } from './compare.js';

type Loop<Work> = (keys: readonly unknown[], work: Work, start: number, end: number) => number;
type AwaitedLoop<Work> = (...parameters: Parameters<Loop<Work>>) => Promise<number>;

let loops = 0;

/**
 * A loop compiled for one contender: shared, the engine would compile one for all of them, with a call that it cannot
 * inline. The number makes the text another one: V8 keeps what it learned of an evaluated text and gives it to the next
 * function of the same text.
 */
function compileLoop(body: string): unknown {
  loops += 1;
  return new Function('keys', 'work', 'start', 'end', `/* ${loops} */ ${body}`);
}

/** A contender whose work is one synchronous call per key, on and on through the keys; a power of two of them. */
export function overKeys<Key>(
  name: string,
  keys: readonly Key[],
  work: (key: Key) => number,
): Contender {
  const loop = compileLoop(
    'let sum = 0; for (let i = start; i < end; i += 1) sum += work(keys[i & (keys.length - 1)]); return sum;',
  ) as Loop<(key: Key) => number>;
  const next = turnsOver(keys);
  return {
    name,
    run: (operations) => {
      const start = next(operations);
      checkSum(loop(keys, work, start, start + operations));
      return operations;
    },
  };
}

/** The same for a call that is awaited before the next is made. */
export function awaitedOverKeys<Key>(
  name: string,
  keys: readonly Key[],
  work: (key: Key) => Promise<unknown>,
): Contender {
  const loop = compileLoop(
    `return (async () => {
      let found = 0;
      for (let i = start; i < end; i += 1) {
        if ((await work(keys[i & (keys.length - 1)])) !== undefined) found += 1;
      }
      return found;
    })();`,
  ) as AwaitedLoop<(key: Key) => Promise<unknown>>;
  const next = turnsOver(keys);
  return {
    name,
    run: async (operations) => {
      const start = next(operations);
      const found = await loop(keys, work, start, start + operations);
      if (found !== operations) throw new Error(`${name} missed ${operations - found} keys`);
      return operations;
    },
  };
}

/** On through the keys from turn to turn: begun anew each time, a peer's cache would hold the few that come first. */
function turnsOver({ length }: readonly unknown[]): (operations: number) => number {
  if ((length & (length - 1)) !== 0) throw new Error(`${length} keys are no power of two`);
  let next = 0;
  return (operations) => {
    const start = next;
    next = (start + operations) & (length - 1);
    return start;
  };
}

function checkSum(sum: number): void {
  if (Number.isNaN(sum)) throw new Error('no number');
}
