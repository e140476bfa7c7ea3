import { describe, expect, test } from 'vitest';
import {
  type Inventory,
  judgeHitRate,
  judgeInventory,
  judgeLimit,
  judgeRequests,
  judgeUpdates,
} from './judge.js';
import { Counter } from './tally.js';

/** A judge who cannot say no is none. */

const good: Inventory = {
  users: 10,
  expectedUsers: 10,
  misplaced: 0,
  betsAcknowledged: 5,
  acknowledgedMissing: 0,
  betsStored: 6,
  betsTwice: 0,
  ledgerEntries: 6,
  money: 1000n,
  expectedMoney: 1000n,
};
const broken = (changes: Partial<Inventory>) =>
  judgeInventory({ ...good, ...changes }).filter(({ holds }) => !holds);

describe('the rows at the end', () => {
  test('are in order when nothing is missing, twice, misplaced or in part', () => {
    expect(broken({})).toEqual([]);
  });

  test.each([
    ['a user who is missing', { users: 9 }],
    ['a user who is there twice', { users: 11 }],
    ['a misplaced user', { misplaced: 1 }],
    ['an acknowledged bet that is missing', { acknowledgedMissing: 1 }],
    ['a bet that is there twice', { betsTwice: 1 }],
    ['a run in which nothing was acknowledged', { betsAcknowledged: 0 }],
    ['a bet without its ledger entry', { ledgerEntries: 5 }],
    ['money that went missing', { money: 999n }],
  ] satisfies [string, Partial<Inventory>][])('%s breaks a promise', (_what, changes) => {
    expect(broken(changes).length).toBe(1);
  });
});

describe('a limit', () => {
  const run = {
    tier: 'free',
    limit: 100,
    windowMs: 60_000,
    admitted: 100,
    denied: 5,
    tookMs: 1200,
  };

  test('holds between the burst and what flowed in', () => {
    expect(judgeLimit(run).holds).toBe(true);
    expect(judgeLimit({ ...run, admitted: 102 }).holds).toBe(true);
  });

  test('is broken by one too many, one too few, and by a run that met no denial', () => {
    expect(judgeLimit({ ...run, admitted: 103 }).holds).toBe(false);
    expect(judgeLimit({ ...run, admitted: 99 }).holds).toBe(false);
    expect(judgeLimit({ ...run, denied: 0 }).holds).toBe(false);
  });
});

test('one failed request is one too many, and so is a span in which nothing happened', () => {
  const counter = new Counter();
  expect(judgeRequests('now', counter.read()).holds).toBe(false);
  counter.add('ok', 1);
  expect(judgeRequests('now', counter.read()).holds).toBe(true);
  counter.add('failed', 1);
  expect(judgeRequests('now', counter.read()).holds).toBe(false);
});

test('what had to be sent again is a failure, save where a primary died', () => {
  const counter = new Counter();
  counter.add('ok', 1);
  counter.repeated();
  expect(judgeRequests('now', counter.read()).holds).toBe(false);
  expect(judgeRequests('now', counter.read(), { mayRepeat: true }).holds).toBe(true);
});

test('an update that is seen late, or never by its own session, is told', () => {
  const [seen, own] = judgeUpdates([{ ownMs: 1, everywhereMs: 3000 }], 1, 2000);
  expect([seen?.holds, own?.holds]).toEqual([false, false]);
});

test('the hit rate counts every tier', () => {
  expect(judgeHitRate({ lookups: 100, l1: 50, l2: 30, l3: 5 }).holds).toBe(true);
  expect(judgeHitRate({ lookups: 100, l1: 50, l2: 30, l3: 4 }).holds).toBe(false);
});
