import { isShardlineError } from '@shardline/core';
import { type PostgresServer, startPostgres } from '@shardline/testkit';
import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { migrateCatalog } from '../topology/catalog.js';
import { createSlotIds, type SlotIds } from './leased-ids.js';
import { readSlotId, SlotIdGenerator, workerLimit } from './slot-id.js';

const start = Date.UTC(2026, 5, 1);
const lease = { worker: 5, fromMs: 0, untilMs: start + 3_600_000 };

describe('SlotIdGenerator', () => {
  test('an id carries its slot, worker and time, and rises with time', () => {
    let now = start;
    for (const slots of [2, 64, 4096, 65536]) {
      const generator = new SlotIdGenerator(slots, lease, () => now);
      const first = generator.next(slots - 1);
      expect(readSlotId(first, slots)).toEqual({
        at: new Date(now),
        slot: slots - 1,
        worker: 5,
        sequence: 0,
      });
      now += 1;
      expect(generator.next(0)).toBeGreaterThan(first);
      expect(first).toBeLessThan(2n ** 63n);
    }
  });

  test('no id is made twice, whatever the clock does', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: -3000, max: 50 }), fc.nat(3)), {
          minLength: 50,
          maxLength: 400,
        }),
        (steps) => {
          let now = start;
          const generator = new SlotIdGenerator(4096, lease, () => now);
          const seen = new Set<bigint>();
          for (const [step, slot] of steps) {
            now += step;
            try {
              const id = generator.next(slot);
              expect(seen.has(id)).toBe(false);
              seen.add(id);
            } catch (error) {
              // Too far back is an answer, a repeated id is none.
              if (!isShardlineError(error, 'ID_INVALID')) throw error;
            }
          }
        },
      ),
    );
  });

  test('a clock that was set back is waited out for ten seconds and then reported', () => {
    let now = start;
    const generator = new SlotIdGenerator(4096, lease, () => now);
    const first = generator.next(1);
    now -= 5000;
    expect(generator.next(1)).toBeGreaterThan(first);
    now -= 6000;
    expect(() => generator.next(1)).toThrow('it has been set back');
  });

  test('no id is made beyond the lease', () => {
    let now = start;
    const generator = new SlotIdGenerator(4096, { ...lease, untilMs: start + 10 }, () => now);
    generator.next(1);
    now += 10;
    expect(() => generator.next(1)).toThrow('has ended');
  });

  test.each([-1, 4096, 1.5])('slot %s is refused', (slot) => {
    expect(() => new SlotIdGenerator(4096, lease, () => start).next(slot)).toThrow('out of range');
  });
});

describe('leased worker numbers', () => {
  let server: PostgresServer;
  let pool: pg.Pool;
  beforeAll(async () => {
    server = await startPostgres({ name: 'ids' });
    await server.withClient((client) => migrateCatalog(client as never));
    pool = new pg.Pool({ connectionString: server.url, max: 20 });
  });
  afterAll(async () => {
    await pool?.end();
    await server?.stop();
  });

  test('processes that start together get different numbers; a closed one is used again, later in time', async () => {
    const many = await Promise.all(
      Array.from({ length: 20 }, () => createSlotIds({ catalog: pool as never, slots: 4096 })),
    );
    const ids = many.map((one: SlotIds) => one.next(7));
    expect(new Set(ids.map((id) => readSlotId(id, 4096).worker)).size).toBe(20);
    const freed = readSlotId(ids[3]!, 4096);
    await many[3]!.close();
    // The first holder's numbers of time are not used again, however its clock and ours differ.
    await using next = await createSlotIds({ catalog: pool as never, slots: 4096 });
    const later = readSlotId(next.next(7), 4096);
    expect(later.worker).toBe(freed.worker);
    expect(later.at.getTime()).toBeGreaterThan(freed.at.getTime());
    await Promise.all(many.map((one) => one.close()));
  });

  test('a holder that vanished has used up its range, and the next begins after it', async () => {
    await pool.query('DELETE FROM shardline.worker');
    const until = Date.now() + 3000;
    await pool.query(
      `INSERT INTO shardline.worker (id, holder, lease_until, used_until_ms) VALUES (0, gen_random_uuid(), now(), $1)`,
      [until],
    );
    await using next = await createSlotIds({ catalog: pool as never, slots: 4096 });
    expect(readSlotId(next.next(7), 4096)).toMatchObject({ worker: 0, at: new Date(until) });
  });

  test('when all are taken it says so', async () => {
    await pool.query('DELETE FROM shardline.worker');
    await pool.query(
      `INSERT INTO shardline.worker (id, holder, lease_until, used_until_ms)
       SELECT n, gen_random_uuid(), now() + interval '1h', 0 FROM generate_series(0, $1::int - 1) n`,
      [workerLimit(65536)],
    );
    await expect(createSlotIds({ catalog: pool as never, slots: 65536 })).rejects.toMatchObject({
      code: 'ID_INVALID',
      retryable: true,
    });
  });
});
