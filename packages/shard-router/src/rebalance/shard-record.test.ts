import { describe, expect, test } from 'vitest';
import {
  acceptsWrites,
  applyEffect,
  type ShardEffect,
  type ShardRecord,
  seeBarrier,
} from './shard-record.js';

const owner: ShardRecord = {
  generation: 5,
  isOwner: true,
  epoch: 2,
  isFenced: false,
  hasInbound: false,
  hasForeignRows: false,
  barrierWritten: 0,
  barrierSeen: 0,
};
const other: ShardRecord = { ...owner, isOwner: false };
const QUIET = { openWrites: 0 };

const EFFECTS: readonly ShardEffect[] = [
  { kind: 'create-inbound', copies: true },
  { kind: 'create-inbound', copies: false },
  { kind: 'drop-inbound' },
  { kind: 'fence' },
  { kind: 'unfence' },
  { kind: 'relinquish', epoch: 3 },
  { kind: 'open', epoch: 3 },
  { kind: 'clean' },
];

function applied(record: ShardRecord, effect: ShardEffect, generation = 6): ShardRecord {
  const outcome = applyEffect(record, effect, generation, QUIET);
  if (outcome.outcome !== 'applied') throw new Error(JSON.stringify(outcome));
  return outcome.record;
}

describe("a shard's record", () => {
  test.each(EFFECTS)('refuses $kind of an older generation, and changes nothing', (effect) => {
    for (const record of [owner, other, { ...owner, isFenced: true }]) {
      expect(applyEffect(record, effect, 4, QUIET)).toEqual({
        outcome: 'refused',
        reason: 'older-generation',
      });
    }
  });

  test.each(EFFECTS)('$kind, done twice, is done once, and raises the generation', (effect) => {
    for (const record of [owner, other, { ...owner, isFenced: true }]) {
      const outcome = applyEffect(record, effect, 6, QUIET);
      if (outcome.outcome !== 'applied') continue;
      expect(outcome.record.generation).toBe(6);
      expect(applied(outcome.record, effect)).toEqual(outcome.record);
    }
  });

  test('whatever stops writes waits for open ones, and nothing else does', () => {
    const openWrites = { openWrites: 1 };
    for (const kind of ['fence', 'relinquish'] as const) {
      const effect = EFFECTS.find((one) => one.kind === kind) as ShardEffect;
      expect(applyEffect(owner, effect, 6, openWrites)).toEqual({ outcome: 'blocked' });
    }
    const relinquish = EFFECTS.find(({ kind }) => kind === 'relinquish') as ShardEffect;
    const fenced = applied(owner, { kind: 'fence' });
    expect(applyEffect(fenced, relinquish, 6, openWrites).outcome).toBe('applied');
    const open = EFFECTS.find(({ kind }) => kind === 'open') as ShardEffect;
    expect(applyEffect({ ...owner, isOwner: false }, open, 6, openWrites).outcome).toBe('applied');
    expect(applyEffect(owner, { kind: 'drop-inbound' }, 6, openWrites).outcome).toBe('applied');
  });

  test('writes are let in by an owner without a fence and by nobody else', () => {
    expect(acceptsWrites(owner)).toBe(true);
    expect(acceptsWrites(applied(owner, { kind: 'fence' }))).toBe(false);
    expect(acceptsWrites(applied(applied(owner, { kind: 'fence' }), { kind: 'unfence' }))).toBe(
      true,
    );
    expect(acceptsWrites(other)).toBe(false);
    expect(acceptsWrites(applied(other, { kind: 'open', epoch: 3 }))).toBe(true);
  });

  test('who gives the slots up keeps knowing it after the fence has gone', () => {
    const lost = applied(applied(owner, { kind: 'fence' }), { kind: 'relinquish', epoch: 3 });
    expect(lost).toMatchObject({ isOwner: false, isFenced: false, epoch: 3, hasForeignRows: true });
    expect(acceptsWrites(applied(lost, { kind: 'clean' }))).toBe(false);
  });

  test('ownership never goes back to an older epoch', () => {
    for (const kind of ['relinquish', 'open'] as const) {
      expect(applyEffect(owner, { kind, epoch: 1 }, 6, QUIET)).toEqual({
        outcome: 'refused',
        reason: 'older-epoch',
      });
    }
  });

  test('an owner is neither cleaned nor copied onto', () => {
    for (const effect of [{ kind: 'clean' }, { kind: 'create-inbound', copies: true }] as const) {
      expect(applyEffect(owner, effect, 6, QUIET)).toEqual({
        outcome: 'refused',
        reason: 'is-owner',
      });
    }
    expect(applied(owner, { kind: 'create-inbound', copies: false }).hasInbound).toBe(true);
  });

  test('rows are not cleaned while a stream still brings some', () => {
    const copying = applied(other, { kind: 'create-inbound', copies: true });
    expect(copying).toMatchObject({ hasInbound: true, hasForeignRows: true });
    expect(applyEffect(copying, { kind: 'clean' }, 6, QUIET)).toEqual({
      outcome: 'refused',
      reason: 'has-inbound',
    });
    const dropped = applied(copying, { kind: 'drop-inbound' });
    expect(applied(dropped, { kind: 'clean' }).hasForeignRows).toBe(false);
  });

  test('a barrier is written with every fence, and with nothing else', () => {
    const fenced = applied(owner, { kind: 'fence' });
    expect(fenced.barrierWritten).toBe(6);
    expect(applied(fenced, { kind: 'fence' }, 8).barrierWritten).toBe(8);
    for (const effect of EFFECTS.filter(({ kind }) => kind !== 'fence')) {
      const outcome = applyEffect(fenced, effect, 8, QUIET);
      if (outcome.outcome === 'applied') expect(outcome.record.barrierWritten).toBe(6);
    }
  });

  test('the newest barrier that was seen counts, whatever comes after it', () => {
    expect(seeBarrier(seeBarrier(other, 8), 7).barrierSeen).toBe(8);
  });
});
