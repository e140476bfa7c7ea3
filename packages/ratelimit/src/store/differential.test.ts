import { openRedis, type RedisConnection } from '@shardline/core/redis';
import { type RedisServer, startRedis } from '@shardline/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import steppedClock from '../../../../test/ratelimit/stepped-clock.lua';
import type { Entry } from '../bucket/entry.js';
import { isFresh } from '../bucket/entry.js';
import { INHERITANCES, type Inheritance } from '../bucket/inheritance.js';
import { decideLease } from '../bucket/lease-operation.js';
import { decide, type OperationName, openEntry } from '../bucket/operation.js';
import { type Rate, slidingWindowRate, tokenBucketFault, tokenBucketRate } from '../bucket/rate.js';
import { LoneCheck } from './lone-check.js';
import { encodeRate, Plan } from './plan.js';
import { composeScripts } from './scripts.js';

/**
 * The same timelines through TypeScript and through Lua in a real Redis: every grant, every level and
 * every lease must be equal, to the unit. Time is a key that the scripts read, so that a
 * timeline may wait for a day or step back by an hour between two operations.
 */
const scripts = composeScripts(steppedClock);
/** Timelines; each is a few dozen operations on four keys. */
const RUNS = process.env['SHARDLINE_TORTURE'] === '1' ? 5000 : 250;
const KEYS = ['{f}:a', '{f}:b', '{f}:c', '{f}:d'];

let server: RedisServer;
let connection: RedisConnection;

beforeAll(async () => {
  server = await startRedis({ name: 'differential' });
  connection = openRedis(server.url, { name: 'differential' });
  await connection.ready({ timeoutMs: 10_000 });
});
afterAll(async () => {
  await connection?.close();
  await server?.stop();
});

const rate: fc.Arbitrary<Rate> = fc.oneof(
  { weight: 3, arbitrary: bucketRates() },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 20_000 }))
      .map(([limit, windowMs]) => slidingWindowRate(limit, windowMs)),
  },
);

function bucketRates() {
  return fc
    .tuple(
      fc.integer({ min: 1, max: 10_000 }),
      fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.constantFrom(60_000, 3_600_000, 86_399_999)),
      fc.integer({ min: 1, max: 60 }),
    )
    .filter((parts) => tokenBucketFault(...parts) === undefined)
    .map((parts) => tokenBucketRate(...parts));
}

const names: OperationName[] = ['check', 'take', 'peek', 'refund', 'penalize', 'reset', 'block'];

const step = fc.record({
  waitUs: fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 0, max: 3_000_000 }) },
    { weight: 2, arbitrary: fc.integer({ min: -4_000_000_000, max: 4_000_000_000 }) },
    { weight: 1, arbitrary: fc.constantFrom(-3_600_000_000, 3_600_000_000, 86_400_000_000) },
  ),
  name: fc.oneof(
    { weight: 8, arbitrary: fc.constant<OperationName>('check') },
    { weight: 5, arbitrary: fc.constantFrom(...names) },
  ),
  keys: fc.uniqueArray(fc.nat(3), { minLength: 1, maxLength: 3 }),
  amount: fc.integer({ min: 0, max: 30 }),
  rates: fc.array(fc.nat(2), { minLength: 4, maxLength: 4 }),
  lease: fc.option(
    fc.record({
      want: fc.integer({ min: 0, max: 30 }),
      lengthUs: fc.integer({ min: 1, max: 5_000_000 }),
      returns: fc.nat(5),
      unused: fc.integer({ min: 0, max: 10 }),
    }),
    { freq: 4 },
  ),
});

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

describe('the Lua scripts', () => {
  test('decide exactly as the TypeScript does, on every timeline', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(rate, { minLength: 3, maxLength: 3 }),
        fc.constantFrom(...INHERITANCES),
        fc.array(step, { minLength: 1, maxLength: 40 }),
        async (rates, inheritance, steps) => {
          await connection.client.del(...KEYS);
          const model = new Map<string, Entry>();
          let nowUs = 1_795_205_577_392_200;
          let leases = 0;
          for (const each of steps) {
            nowUs += each.waitUs;
            await connection.client.set('shardline:test:now', String(nowUs));
            const isLease = each.lease !== null && rates[0]!.algorithm === 'token-bucket';
            if (isLease) {
              leases += 1;
              await sameLease(model, rates[0]!, inheritance, each.lease!, leases, nowUs);
            } else await sameDecision(model, rates, inheritance, each, nowUs);
          }
        },
      ),
      { numRuns: RUNS },
    );
  }, 300_000);

  test('write nothing when they deny or peek', async () => {
    const tight = tokenBucketRate(1, 60_000);
    await connection.client.del(KEYS[0]!);
    await connection.client.set('shardline:test:now', '1795205577392200');
    await ask([{ name: 'check', keys: [KEYS[0]!], amount: 1 }], tight);
    const before = await server.info('replication');
    const offset = before.get('master_repl_offset');
    const dirty = (await server.info('persistence')).get('rdb_changes_since_last_save');
    await ask(
      [
        { name: 'check', keys: [KEYS[0]!], amount: 1 },
        { name: 'peek', keys: [KEYS[0]!], amount: 1 },
      ],
      tight,
    );
    expect((await server.info('persistence')).get('rdb_changes_since_last_save')).toBe(dirty);
    expect((await server.info('replication')).get('master_repl_offset')).toBe(offset);
  });

  test('keep every key no longer than it takes to fill, plus a second', async () => {
    const half = tokenBucketRate(1, 500);
    await connection.client.del(KEYS[0]!);
    await connection.client.del('shardline:test:now');
    await ask([{ name: 'check', keys: [KEYS[0]!], amount: 1 }], half);
    const ttl = await connection.client.pttl(KEYS[0]!);
    expect(ttl).toBeGreaterThan(400);
    expect(ttl).toBeLessThanOrEqual(1500);
  });

  test('hold one key of a usual limit in no more memory than level and time as text', async () => {
    const usual = tokenBucketRate(10_000, 60_000);
    await connection.client.set('user:1234567890:requests1', '60000000:1795205577392200');
    const asText = await connection.client.memory('USAGE', 'user:1234567890:requests1');
    const key = '{er:1234567890}:requests1';
    expect(key).toHaveLength(25);
    await ask([{ name: 'check', keys: [key], amount: 1 }], usual);
    expect(await connection.client.memory('USAGE', key)).toBeLessThanOrEqual(asText as number);
  });
});

async function ask(
  operations: { name: OperationName; keys: string[]; amount: number }[],
  oneRate: Rate,
): Promise<number[]> {
  const plan = new Plan();
  const grants: number[] = [];
  for (const { name, keys, amount } of operations) {
    const parts = keys.map((key) => ({ key, rate: oneRate, inheritance: 'keep' as const, amount }));
    plan.add({ name, parts }, { succeed: ({ granted }) => grants.push(granted), fail: () => {} });
  }
  plan.deliver(await plan.ask(scripts, connection.client));
  return grants;
}

async function sameDecision(
  model: Map<string, Entry>,
  rates: Rate[],
  inheritance: Inheritance,
  each: Step,
  nowUs: number,
): Promise<void> {
  const parts = each.keys.map((index) => {
    const partRate = rates[each.rates[index]!]!;
    const amount =
      each.name === 'block' ? each.amount * 100_000 : Math.min(each.amount, partRate.burst);
    return { key: KEYS[index]!, rate: partRate, inheritance, amount };
  });
  const opened = parts.map((part) =>
    openEntry(stored(model, part.key), part.rate, inheritance, nowUs),
  );
  const expected = decide(
    each.name,
    opened,
    parts.map((part) => part.amount),
    nowUs,
  );
  for (const [index, part] of parts.entries()) keep(model, part.key, opened[index]!);
  let actual: unknown;
  const receiver = {
    succeed: (outcome: unknown) => {
      actual = outcome;
    },
    fail: () => {},
  };
  const operation = { name: each.name, parts };
  // Either way must give the same: the script for one check, and the one for everything.
  const isLone = LoneCheck.canBe(operation) && nowUs % 2 === 0;
  const plan = isLone ? new LoneCheck(operation, receiver) : new Plan();
  if (plan instanceof Plan) plan.add(operation, receiver);
  plan.deliver(await plan.ask(scripts, connection.client));
  expect(actual).toEqual({
    ...expected,
    views: expected.views.map((view, index) =>
      parts[index]!.rate.algorithm === 'token-bucket'
        ? { units: view.units, previous: 0, current: 0, positionMs: 0 }
        : { ...view, units: 0 },
    ),
  });
}

/** A copy, as every script reads a copy: what it does not write back is forgotten. */
function stored(model: Map<string, Entry>, key: string): Entry | undefined {
  return structuredClone(model.get(key));
}

/** An entry that was not written in Redis keeps what it was there; so must the model's. */
function keep(
  model: Map<string, Entry>,
  key: string,
  open: { entry: Entry; isDirty: boolean },
): void {
  if (!open.isDirty) return;
  if (isFresh(open.entry)) model.delete(key);
  else model.set(key, open.entry);
}

async function sameLease(
  model: Map<string, Entry>,
  leaseRate: Rate,
  inheritance: Inheritance,
  lease: NonNullable<Step['lease']>,
  sequence: number,
  nowUs: number,
): Promise<void> {
  const key = KEYS[0]!;
  const open = openEntry(stored(model, key), leaseRate, inheritance, nowUs);
  const request = {
    id: `l.${sequence}`,
    want: lease.want,
    lengthUs: lease.lengthUs,
    returnId: `l.${sequence - lease.returns}`,
    unused: lease.unused,
  };
  const returns = open.entry.leases.some((each) => each.id === request.returnId);
  const expected = decideLease(open.entry, request, nowUs);
  keep(model, key, { ...open, isDirty: open.isDirty || returns || expected.granted > 0 });
  const plan = `[${encodeRate(leaseRate, inheritance)},${request.want},${request.lengthUs},${request.unused}]`;
  const args = [plan, leaseRate.text, request.id, request.returnId];
  const reply = await scripts.lease.call(connection.client, [key], args);
  expect(reply).toEqual([nowUs, expected.granted, expected.units, expected.holders]);
}
