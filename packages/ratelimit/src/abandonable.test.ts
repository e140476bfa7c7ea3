import { checkOptions, isShardlineError, ManualClock, systemClock } from '@shardline/core';
import { type RedisServer, startRedis } from '@shardline/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Operation } from './bucket/operation.js';
import { decideTogether } from './limiter/joint-admission.js';
import { createLimiter, type RateLimiter } from './limiter/limiter.js';
import type { LimiterCore } from './limiter/limiter-core.js';
import { partsOf } from './limiter/request.js';
import { PolicyBook } from './policy/policy-book.js';
import { policiesSchema } from './policy/policy-options.js';
import { MemoryStore } from './store/memory-store.js';
import type { OutcomeReceiver } from './store/store.js';
import { TopDenied } from './top-denied.js';

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis({ name: 'abandoned' });
});
afterAll(async () => {
  await redis?.stop();
});

const policies = { api: { limit: 10, window: '24h' } } as const;

function onRedis(prefix: string): RateLimiter {
  return createLimiter({
    redis: redis.url,
    prefix,
    policies,
    timeout: '10s',
    onRedisDown: 'closed',
  });
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return isShardlineError(error) ? error.code : String(error);
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const CALLS: readonly [string, (limiter: RateLimiter, signal: AbortSignal) => Promise<unknown>][] =
  [
    ['check', (limiter, signal) => limiter.check('u', { cost: 3, signal })],
    ['checkAll', (limiter, signal) => limiter.checkAll([{ subject: 'u', cost: 3 }], { signal })],
    ['refund', (limiter, signal) => limiter.refund('u', 3, { signal })],
    ['penalize', (limiter, signal) => limiter.penalize('u', 3, { signal })],
    ['reset', (limiter, signal) => limiter.reset('u', { signal })],
    ['block', (limiter, signal) => limiter.block('u', '1h', { signal })],
    ['leased.check', (limiter, signal) => limiter.leased().check('u', { cost: 3, signal })],
  ];

describe('a caller who gives up', () => {
  for (const [name, call] of CALLS) {
    test(`before ${name} was sent changes nothing, even if its tier is known later`, async () => {
      const waiting: (() => void)[] = [];
      let isSlow = false;
      await using limiter = createLimiter({
        memory: true,
        clock: new ManualClock(),
        tiers: { a: { limit: 10, window: '24h' } },
        tierOf: () =>
          new Promise<string>((resolve) => {
            if (isSlow) waiting.push(() => resolve('a'));
            else resolve('a');
          }),
      });
      await limiter.check('u', { cost: 4 });
      isSlow = true;
      const controller = new AbortController();
      const given = call(limiter, controller.signal);
      await until('the tier to be asked for', () => waiting.length > 0);
      controller.abort();
      expect(await codeOf(given)).toBe('ABORTED');
      isSlow = false;
      for (const answer of waiting) answer();
      expect(await limiter.peek('u')).toMatchObject({ allowed: true, remaining: 6 });
    });

    test(`before ${name} began is answered at once`, async () => {
      await using limiter = createLimiter({ memory: true, policies });
      expect(await codeOf(call(limiter, AbortSignal.abort()))).toBe('ABORTED');
      expect((await limiter.peek('u')).remaining).toBe(10);
    });
  }

  test('while a change is on its way is told that it may have been made', async () => {
    await using limiter = onRedis('change:');
    await limiter.check('u', { cost: 5 });
    const controller = new AbortController();
    const given = limiter.refund('u', 5, { signal: controller.signal });
    // Sent by now, and no answer can have been read: no turn of the event loop has ended.
    for (let tick = 0; tick < 5; tick += 1) await new Promise<void>(process.nextTick);
    controller.abort();
    expect(await codeOf(given)).toBe('ABORTED');
    expect((await limiter.peek('u')).remaining).toBe(10);
  });

  test('gets no place, and the one that was on its way is free again', async () => {
    await using limiter = onRedis('place:');
    const places = limiter.concurrency({ name: 'jobs', limit: 1, leaseDuration: '5m' });
    await places.run('warm', async () => {});
    const controller = new AbortController();
    const given = places.acquire('u', { signal: controller.signal });
    controller.abort();
    // Behind it on the same connection: denied, because the first one did get the place.
    const next = places.acquire('u');
    expect(await codeOf(given)).toBe('ABORTED');
    expect((await next).allowed).toBe(false);
    await until('the place to be free', async () => (await places.acquire('u')).allowed);
    expect(places.held).toBe(1);
    const run = places.run('u', async () => 'work', { signal: AbortSignal.abort() });
    expect(await codeOf(run)).toBe('ABORTED');
  });

  test('spends no leased token: what it asked for serves the next caller', async () => {
    await using limiter = onRedis('lease:');
    const leased = limiter.leased({ duration: '5m' });
    const controller = new AbortController();
    const given = leased.check('u', { cost: 5, signal: controller.signal });
    while (leased.statistics.requests === 0) await Promise.resolve();
    controller.abort();
    expect(await codeOf(given)).toBe('ABORTED');
    await until('the lease', () => leased.statistics.tokensLeased > 0);
    expect(leased.statistics.tokensSpent).toBe(0);
    expect(leased.tryTake('u', 5)).toBe(true);
  });

  test('between two subjects that lie apart is charged for neither', async () => {
    const controller = new AbortController();
    const store = new ApartStore(controller);
    const core: LimiterCore = {
      store,
      clock: systemClock,
      breaker: undefined,
      onRedisDown: 'closed',
      fallback: undefined,
      denialCache: undefined,
      topDenied: new TopDenied(10),
    };
    const book = new PolicyBook(checkOptions(policiesSchema, { policies }, 'the test'));
    const parts = ['a', 'b', 'c'].flatMap((subject) =>
      partsOf(book, '', subject, {}, 4, undefined),
    );
    await expect(decideTogether(core, 'a', parts, controller.signal)).rejects.toThrow('enough');
    expect(store.asked).toEqual(['check a', 'check b', 'refund a', 'refund b']);
    const { remaining } = await decideTogether(core, 'a', parts);
    expect(remaining).toBe(6);
  });
});

/** Memory whose subjects all lie apart, and whose caller gives up while the second one is asked. */
class ApartStore extends MemoryStore {
  readonly asked: string[] = [];
  readonly #controller: AbortController;

  constructor(controller: AbortController) {
    super({ clock: systemClock, maxKeys: 10 });
    this.#controller = controller;
  }

  override liesTogether(): boolean {
    return false;
  }

  override run(operation: Operation, receiver: OutcomeReceiver): void {
    const subject = operation.parts.map(({ key }) => key.slice(1, 2));
    this.asked.push(`${operation.name} ${subject}`);
    if (this.asked.length === 2) this.#controller.abort(new Error('enough'));
    super.run(operation, receiver);
  }
}
