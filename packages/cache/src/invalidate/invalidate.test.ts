import { ManualClock } from '@shardline/core';
import { describe, expect, it } from 'vitest';
import { FRESHEST } from '../entry/standing-freshness.js';
import { KeyTemplate } from './key-template.js';
import { type OutboxRow, startOutboxRelay } from './outbox.js';
import { Pending } from './pending.js';
import { RuleBook } from './rules.js';

describe('rules', () => {
  const book = new RuleBook({
    'user.profile.updated': ['userProfiles:{userId}', 'leaderboards:*', 'posts#author:{userId}'],
    'bet.settled': ['userBets:{bet.user}:*', 'bets:{bet.id}'],
    nothing: [],
  });

  it('turn an event into keys, patterns and tags', () => {
    expect(book.hitsOf('user.profile.updated', { userId: 42 })).toEqual([
      { namespace: 'userProfiles', kind: 'key', text: '42' },
      { namespace: 'leaderboards', kind: 'pattern', text: '*' },
      { namespace: 'posts', kind: 'tag', text: 'author:42' },
    ]);
    expect(book.hitsOf('bet.settled', { bet: { user: 'u', id: 7n } })).toEqual([
      { namespace: 'userBets', kind: 'pattern', text: 'u:*' },
      { namespace: 'bets', kind: 'key', text: '7' },
    ]);
    expect(book.hitsOf('nothing', {})).toEqual([]);
  });

  it('refuse an unknown event, and name the nearest', () => {
    expect(() => book.hitsOf('user.profile.updatd', {})).toThrow(/user\.profile\.updated/);
  });

  it('refuse a payload that lacks a field, or would widen a pattern', () => {
    for (const payload of [{}, { bet: {} }, null, { bet: { user: 'u', id: {} } }]) {
      expect(() => book.hitsOf('bet.settled', payload)).toThrow(/CACHE_EVENT_PAYLOAD/);
    }
    for (const user of ['*', 'a:b', '']) {
      expect(() => book.hitsOf('bet.settled', { bet: { user, id: 1 } })).toThrow(
        /CACHE_EVENT_PAYLOAD/,
      );
    }
    // Not through the prototype either.
    expect(() => new RuleBook({ e: ['n:{constructor.name}'] }).hitsOf('e', {})).toThrow(
      /CACHE_EVENT_PAYLOAD/,
    );
  });

  it('are checked as a whole when they are made', () => {
    const { faults } = new RuleBook({ e: ['no target', 'n:{open', 'n:a*', 'n:{}', 'n:fine'] });
    expect(faults.map(({ path }) => path)).toEqual([
      "rules['e'][0]",
      "rules['e'][1]",
      "rules['e'][2]",
      "rules['e'][3]",
    ]);
  });
});

describe('a key template', () => {
  const template = new KeyTemplate('{userId}:{status}:{page}');

  it('says which stamps a key depends on, and which one a pattern is', () => {
    const stamps = template.stampsOf('42:open:3');
    for (const [pattern, stamp] of [
      ['*', 'n'],
      ['42:*', 'p:42'],
      ['42:*:*', 'p:42'],
      ['42:open:*', 'p:42:open'],
      ['*:open:*', 'a:1:open'],
      ['*:*:3', 'a:2:3'],
    ] as const) {
      expect(template.stampOfPattern('bets', pattern)).toBe(stamp);
      expect(stamps).toContain(stamp);
    }
    expect(template.stampsOf('43:closed:1')).not.toContain('p:42');
  });

  it('refuses what would need a search, and says what to do', () => {
    for (const pattern of ['42:*:3', '*:open:3', '4?:*', 'a*', '1:2:3:*']) {
      expect(() => template.stampOfPattern('bets', pattern)).toThrow(/CACHE_PATTERN_UNSUPPORTED/);
    }
    expect(() => new KeyTemplate('{id}').stampOfPattern('users', '42:*')).toThrow(
      /`keys` template/,
    );
  });
});

describe('pending invalidations', () => {
  const HOLD_MS = 60_000;
  function pendingOf(maxKeys?: number) {
    const clock = new ManualClock();
    const monotonicMs = () => clock.monotonicMs();
    const limit = maxKeys === undefined ? {} : { maxKeys };
    return { clock, pending: new Pending({ holdMs: HOLD_MS, monotonicMs, ...limit }) };
  }
  const marksOf = (pending: Pending) =>
    Object.fromEntries(
      pending
        .take()
        .batches.flatMap(({ keys, freshness }) => keys.map((key) => [key, freshness] as const)),
    );

  it('block their keys until they are done, and what is added meanwhile stays', () => {
    const { pending } = pendingOf();
    pending.add(['a', 'b'], [], 'lsn-1');
    expect([pending.isBlocked('a'), pending.isBlocked('c')]).toEqual([true, false]);
    const taken = pending.take();
    pending.add(['a'], [], undefined);
    pending.done(taken);
    expect([pending.isBlocked('a'), pending.isBlocked('b')]).toEqual([true, false]);
    expect(marksOf(pending)).toEqual({ a: 'lsn-1' });
    pending.done(pending.take());
    expect(pending.size).toBe(0);
  });

  it('keep a mark for each key, and join those of one', () => {
    const { pending } = pendingOf();
    pending.add(['a', 'b'], [], 'lsn-1');
    pending.add(['c'], ['t:vip'], undefined);
    pending.add(['b', 'd'], [], 'lsn-2');
    pending.add(['a'], [], 'lsn-1');
    expect(marksOf(pending)).toEqual({ a: 'lsn-1', b: FRESHEST, c: undefined, d: 'lsn-2' });
    expect(pending.take().batches.flatMap(({ stamps }) => stamps)).toEqual(['t:vip']);
    expect(pending.freshnessOf('b')).toBe(FRESHEST);
    expect(pending.freshnessOf('unknown')).toBe(undefined);
  });

  it('go through as one that asks for all when many unlike marks wait', () => {
    const { pending } = pendingOf();
    for (let index = 0; index < 100; index += 1) pending.add([`k${index}`], [], `lsn-${index}`);
    pending.add(['plain'], [], undefined);
    const { batches } = pending.take();
    expect(batches.map(({ keys, freshness }) => [keys.length, freshness])).toEqual([
      [1, undefined],
      [100, FRESHEST],
    ]);
  });

  it('become one invalidation of everything when they are too many', () => {
    const { pending } = pendingOf(10);
    const keys = Array.from({ length: 11 }, (_, index) => `k${index}`);
    pending.add(keys, [], undefined);
    expect(pending.take().batches).toEqual([{ keys: [], stamps: ['n'], freshness: undefined }]);
    expect(pending.isBlocked('any')).toBe(true);
    pending.done(pending.take());
    expect(pending.size).toBe(0);
  });

  it('that gave up marks go through again when every mark would have ended, and not before', async () => {
    const { pending, clock } = pendingOf(2);
    pending.add(['a', 'b'], [], 'lsn-1');
    pending.add(['c'], [], undefined);
    expect(pending.freshnessOf('any')).toBe('lsn-1');
    const first = pending.take();
    expect(first.batches).toEqual([{ keys: [], stamps: ['n'], freshness: undefined }]);
    pending.done(first);
    expect(pending.take().batches).toEqual([]);
    pending.done(pending.take());
    expect([pending.isBlocked('any'), pending.size]).toEqual([true, 1]);
    await clock.advance(HOLD_MS);
    const last = pending.take();
    expect(last.batches).toEqual(first.batches);
    pending.done(last);
    expect([pending.isBlocked('any'), pending.size]).toEqual([false, 0]);
    expect(pending.freshnessOf('any')).toBe(undefined);
  });

  it('of a tag block every key: nobody knows which it covers', () => {
    const { pending } = pendingOf();
    pending.add([], ['t:vip'], undefined);
    expect(pending.isBlocked('any')).toBe(true);
  });
});

describe('the relay of an outbox', () => {
  it('carries rows until every tier has acknowledged, and survives failures', async () => {
    const rows: OutboxRow[] = [
      { id: '1', records: [{ namespace: 'users', keys: ['1'] }] },
      { id: '2', records: [{ namespace: 'users', tags: ['vip'] }] },
    ];
    const clock = new ManualClock();
    const applied: unknown[] = [];
    const errors: unknown[] = [];
    let turn = 0;
    await using relay = startOutboxRelay({
      clock,
      batch: 1,
      onError: (error) => errors.push(error),
      source: {
        take: async (limit) => rows.slice(0, limit),
        done: async (ids) => {
          for (const id of ids)
            rows.splice(
              rows.findIndex((row) => row.id === id),
              1,
            );
        },
      },
      apply: async (records) => {
        turn += 1;
        if (turn === 1) throw new Error('not now');
        applied.push(...records);
        return { acknowledged: turn !== 2 };
      },
    });
    await clock.advance(1);
    expect(rows).toHaveLength(2);
    await clock.advance(200);
    expect(rows).toHaveLength(2); // applied, but not acknowledged by every tier
    await clock.advance(200);
    expect(rows).toHaveLength(0);
    expect(errors).toHaveLength(1);
    expect(applied).toHaveLength(3);
    rows.push({ id: '3', records: [{ namespace: 'users', keys: ['3'] }] });
    relay.wake();
    await clock.advance(0);
    expect(rows).toHaveLength(0);
  });
});
