import { ManualClock } from '@shardline/core';
import { openRedis } from '@shardline/core/redis';
import { startRedis } from '@shardline/testkit';
import { describe, expect, it } from 'vitest';
import { type CacheOptions, createCache } from '../index.js';
import { CronTimes } from './cron-times.js';
import { TickLock } from './tick-lock.js';
import { type Timed, Timetable } from './timetable.js';

const HOUR_MS = 3_600_000;

describe('cron in a time zone', () => {
  it('knows the days on which the clocks change', () => {
    const berlin = new CronTimes('30 2 * * *', 'Europe/Berlin');
    const day = (text: string) => new Date(text).getTime();
    // In winter 02:30 is 01:30 UTC, in summer 00:30; on the day between there is no 02:30.
    expect(berlin.after(day('2026-03-27T12:00Z'))).toBe(day('2026-03-28T01:30Z'));
    expect(berlin.after(day('2026-03-29T12:00Z'))).toBe(day('2026-03-30T00:30Z'));
  });

  it('refuses what makes no sense, with all faults of the configuration', () => {
    const schedules: CacheOptions['schedules'] = {
      often: { cron: '61 * * * *', invalidate: ['things:*'] },
      nowhere: { cron: '0 4 * * *', timeZone: 'Europe/Atlantis', invalidate: ['things:*'] },
      whose: { cron: '0 4 * * *', invalidate: ['things:{id}'] },
    };
    expect(() => createCache({ schedules })).toThrow(
      /schedules\['often'\].*schedules\['nowhere'\].*schedules\['whose'\].invalidate/s,
    );
    expect(() =>
      createCache({ schedules: { glob: { cron: '0 4 * * *', invalidate: ['a:b*'] } } }),
    ).toThrow(/schedules\['glob'\]\[0\].*wildcard/);
  });

  it('refuses a pattern that the namespace cannot invalidate in one step', () => {
    const cache = createCache({
      schedules: { nightly: { cron: '0 4 * * *', invalidate: ['things:1:*'] } },
    });
    expect(() => cache.namespace('things', { ttl: '1h' })).toThrow(/no `keys` template/);
  });
});

describe('a schedule', () => {
  it('invalidates when it falls due, again and again', async () => {
    const clock = new ManualClock(Date.UTC(2026, 0, 1, 3, 0));
    let version = 1;
    const cache = createCache({
      clock,
      schedules: { nightly: { cron: '0 4 * * *', invalidate: ['things:*'] } },
    });
    const things = cache.namespace<number>('things', { ttl: '7d', load: () => version });
    expect(await things.get('a')).toBe(1);
    version = 2;
    await clock.advance(HOUR_MS - 1);
    expect(await things.get('a')).toBe(1);
    await clock.advance(1);
    expect(await things.get('a')).toBe(2);
    version = 3;
    await clock.advance(24 * HOUR_MS);
    expect(await things.get('a')).toBe(3);
    await cache.close();
    expect(clock.pending).toBe(0);
  });

  it('follows the wall clock when it steps, and makes up once for what a sleeping machine missed', async () => {
    const clock = new ManualClock(Date.UTC(2026, 0, 1, 3, 0));
    const ticks: number[] = [];
    const entry: Timed = {
      name: 'hourly',
      times: new CronTimes('0 * * * *', 'UTC'),
      work: async (tickMs) => ticks.push(new Date(tickMs).getUTCHours()) > 0,
    };
    const table = new Timetable([entry], { clock, lock: undefined, onError: () => {} });
    await clock.advance(HOUR_MS);
    expect(ticks).toEqual([4]);
    clock.stepWallClock(5 * HOUR_MS);
    await clock.advance(60_000);
    expect(ticks).toEqual([4, 5]);
    await clock.advance(HOUR_MS);
    expect(ticks).toEqual([4, 5, 10]);
    await table.close();
  });

  it('that fails is told and tried again', async () => {
    const clock = new ManualClock();
    const told: string[] = [];
    let tries = 0;
    const entry: Timed = {
      name: 'hourly',
      times: new CronTimes('0 * * * *', 'UTC'),
      work: async () => {
        tries += 1;
        if (tries === 1) throw new Error('not now');
        return tries > 2;
      },
    };
    const onError = (error: unknown, doing: string) => told.push(`${doing}: ${error}`);
    const table = new Timetable([entry], { clock, lock: undefined, onError });
    await clock.advance(HOUR_MS + 61_000);
    expect([tries, told]).toEqual([3, ["schedule 'hourly': Error: not now"]]);
    await table.close();
  });
});

describe('one of many processes', () => {
  it('carries out a tick; if it dies in between, another does', async () => {
    const redis = await startRedis({});
    const connections = Array.from({ length: 5 }, (_, index) =>
      openRedis(redis.url, { name: `tick-${index}` }),
    );
    try {
      const clock = new ManualClock(Date.UTC(2026, 0, 1, 3, 59, 59));
      const ran: number[] = [];
      await Promise.all(connections.map((one) => one.ready({ timeoutMs: 5000 })));
      /** Every question that was sent is answered: each connection answers in order. */
      const quiet = async () => {
        for (let round = 0; round < 3; round += 1) {
          await Promise.all(connections.map(({ client }) => client.ping()));
        }
      };
      const locks = connections.map((one) => new TickLock(one, 'test', 100 * HOUR_MS, clock));
      const times = new CronTimes('0 * * * *', 'UTC');
      const tables = locks.map(
        (lock, index) =>
          new Timetable([{ name: 'hourly', times, work: async () => ran.push(index) > 0 }], {
            clock,
            lock,
            onError: () => {},
          }),
      );
      await clock.advance(1000);
      await expect.poll(() => ran.length).toBe(1);
      const tickMs = Date.UTC(2026, 0, 1, 4);
      await expect.poll(() => locks[0]?.claim('hourly', tickMs)).toBe('done');
      // The others ask again and are told that it is done.
      await clock.advance(31_000);
      await quiet();
      expect(ran.length).toBe(1);

      // A process claims the next tick and dies: everyone waits, until its claim has run out.
      const nextMs = tickMs + HOUR_MS;
      expect(await locks[0]?.claim('hourly', nextMs)).toBe('mine');
      await clock.advance(HOUR_MS);
      await quiet();
      expect(ran.length).toBe(1);
      await redis.command('DEL', `test:tick:hourly:${nextMs}`);
      await clock.advance(31_000);
      await expect.poll(() => locks[0]?.claim('hourly', nextMs)).toBe('done');
      expect(ran.length).toBe(2);
      for (const table of tables) await table.close();
    } finally {
      for (const one of connections) await one.close();
      await redis.stop();
    }
  });
});
