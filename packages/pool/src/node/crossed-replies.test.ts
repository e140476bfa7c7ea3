import { type PostgresServer, startPostgres } from '@shardline/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ReplicaPool } from '../index.js';

/**
 * A reply must never reach another caller, whenever callers give up. Every statement carries a nonce
 * and echoes it; a part of them is given up at a random moment: before it is sent, in the same turn,
 * while it runs, while its reply arrives. `SHARDLINE_TORTURE=1` asks so often that about a million give up.
 */
const TOTAL = process.env['SHARDLINE_TORTURE'] === '1' ? 3_700_000 : 10_000;
const CALLERS = 32;

let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres({ name: 'nonce' });
});
afterAll(() => server?.stop());

/** A small seeded generator, so that a failure can be repeated. */
function mulberry(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Tally {
  answered: number;
  aborted: number;
  crossed: number;
  failed: unknown[];
}

function abortSometime(controller: AbortController, random: () => number): void {
  const when = random();
  const abort = () => controller.abort();
  if (when < 0.1) abort();
  else if (when < 0.3) queueMicrotask(abort);
  else if (when < 0.6) setImmediate(abort);
  else setTimeout(abort, random() * 3);
}

async function ask(pool: ReplicaPool, random: () => number, nonce: string, tally: Tally) {
  const controller = new AbortController();
  const isAborted = random() < 0.3;
  const isSlow = random() < 0.02;
  const text = isSlow ? 'SELECT $1::text AS nonce, pg_sleep(0.002)' : 'SELECT $1::text AS nonce';
  const named = random() < 0.5 ? { name: isSlow ? 'slow' : 'fast' } : {};
  const running = pool.query({
    ...named,
    text,
    values: [nonce],
    ...(isAborted ? { signal: controller.signal } : {}),
  });
  if (isAborted) abortSometime(controller, random);
  try {
    const { rows } = await running;
    tally.answered += 1;
    if (rows.length !== 1 || rows[0].nonce !== nonce) tally.crossed += 1;
  } catch (error) {
    if ((error as { code?: string }).code === 'ABORTED') tally.aborted += 1;
    else tally.failed.push(error);
  }
}

describe.each([
  { title: 'one statement per connection', pipelining: false },
  { title: 'many callers share connections', pipelining: true },
])('$title', ({ pipelining }) => {
  test('no reply reaches another caller, however callers give up', {
    timeout: 3_600_000,
  }, async () => {
    const seed = Number(process.env['SHARDLINE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
    const random = mulberry(seed);
    await using pool = new ReplicaPool({ connectionString: server.url, max: 4, pipelining });
    await pool.ready();
    const tally: Tally = { answered: 0, aborted: 0, crossed: 0, failed: [] };
    let asked = 0;
    const caller = async (id: number) => {
      while (asked < TOTAL) {
        asked += 1;
        await ask(pool, random, `${id}:${asked}:${random()}`, tally);
      }
    };
    await Promise.all(Array.from({ length: CALLERS }, (_, id) => caller(id)));
    const about = `seed ${seed}`;
    console.error(`${about}: ${tally.answered} answered, ${tally.aborted} given up`);
    expect(tally.crossed, about).toBe(0);
    expect(tally.failed.map(String), about).toEqual([]);
    expect(tally.answered, about).toBeGreaterThan(TOTAL / 2);
    expect(tally.aborted, about).toBeGreaterThan(TOTAL / 20);
    expect(pool.totalCount).toBeLessThanOrEqual(4);
  });
});
