import { describe, expect, test } from 'vitest';
import { advance, type MoveJournal, openJournal } from './journal.js';
import { isEndState } from './move-state.js';
import { type MoveCommand, type MoveFacts, nextStep } from './next-step.js';
import { applyEffect, type ShardRecord, seeBarrier } from './shard-record.js';

const record: ShardRecord = {
  generation: 0,
  isOwner: false,
  epoch: 1,
  isFenced: false,
  hasInbound: false,
  hasForeignRows: false,
  barrierWritten: 0,
  barrierSeen: 0,
};

/** Two shards that do as they are told, a stream that takes no time, routers that answer at once. */
function world() {
  let generation = 1;
  let journal: MoveJournal = openJournal(
    { source: 'a', destination: 'b', epoch: 1 },
    { generation, holder: 'x' },
  );
  const shards = { source: { ...record, isOwner: true }, destination: record };
  const done: string[] = [];
  const facts = (more: Partial<MoveFacts> = {}): MoveFacts => ({
    ...shards,
    unacknowledged: 0,
    isCopied: true,
    isCaughtUp: true,
    ...more,
  });
  const run = (command: MoveCommand): void => {
    if (command.kind === 'advance') {
      generation += 1;
      const change = advance(journal, journal, command.to, generation);
      if (change.outcome === 'refused') throw new Error(change.reason);
      journal = change.journal;
      done.push(command.to);
    } else if (command.kind === 'effect') {
      const { on, effect } = command;
      const outcome = applyEffect(shards[on], effect, journal.generation, { openWrites: 0 });
      if (outcome.outcome !== 'applied') throw new Error(JSON.stringify(outcome));
      shards[on] = outcome.record;
      const to = on === 'source' ? 'destination' : 'source';
      if (effect.kind === 'fence') shards[to] = seeBarrier(shards[to], journal.generation);
      done.push(`${effect.kind} ${on}`);
    }
  };
  return { facts, run, done, shards, journal: () => journal, state: () => journal.state };
}

function runTo(end: string, wish?: MoveFacts['wish']) {
  const it = world();
  for (let steps = 0; it.state() !== end && !isEndState(it.state()); steps += 1) {
    if (steps > 60) throw new Error(`stuck in ${it.state()}: ${it.done.join(', ')}`);
    it.run(nextStep(it.journal(), it.facts({ wish })));
  }
  return it;
}

describe('nextStep', () => {
  test('a whole move is these steps in this order', () => {
    expect(runTo('done', 'finish').done).toEqual([
      'preflight',
      'prepared',
      'copying',
      'create-inbound destination',
      'catching_up',
      'fencing',
      'fence source',
      'drained',
      'drop-inbound destination',
      'create-inbound source',
      'committed',
      'relinquish source',
      'open destination',
      'reversing',
      'cleaning',
      'drop-inbound source',
      'drop-inbound destination',
      'clean source',
      'done',
    ]);
  });

  test('a rollback is the same switch with the roles swapped', () => {
    const { done, shards } = runTo('rolled_back', 'roll-back');
    expect(done.slice(done.indexOf('reversing'))).toEqual([
      'reversing',
      'rollback_fencing',
      'fence destination',
      'rollback_drained',
      'drop-inbound source',
      'rollback_committed',
      'relinquish destination',
      'open source',
      'rollback_cleaning',
      'drop-inbound destination',
      'drop-inbound source',
      'clean destination',
      'rolled_back',
    ]);
    expect(shards.source).toMatchObject({ isOwner: true, epoch: 3, hasInbound: false });
    expect(shards.destination).toMatchObject({ isOwner: false, epoch: 3, hasForeignRows: false });
  });

  test.each(['planned', 'copying', 'fencing', 'drained'])(
    'an abort from %s undoes everything, and tells both shards',
    (state) => {
      const it = runTo(state);
      if (state === 'drained') {
        // As far as it goes: both streams have been turned.
        it.run(nextStep(it.journal(), it.facts()));
        it.run(nextStep(it.journal(), it.facts()));
      }
      for (let steps = 0; it.state() !== 'aborted' && steps < 20; steps += 1) {
        const last = it.journal().generation;
        it.run(nextStep(it.journal(), it.facts({ wish: 'abort' })));
        if (it.state() !== 'aborted') continue;
        for (const shard of [it.shards.source, it.shards.destination]) {
          expect(shard).toMatchObject({
            generation: last,
            isFenced: false,
            hasInbound: false,
            hasForeignRows: false,
          });
        }
      }
      expect(it.state()).toBe('aborted');
      expect(it.shards.source.isOwner).toBe(true);
    },
  );

  test.each(['fencing', 'drained'])(
    'a switch that is withdrawn in %s lets the callers go, and is made again from new',
    (state) => {
      const it = runTo(state);
      it.run(nextStep(it.journal(), it.facts()));
      it.run(nextStep(it.journal(), it.facts({ wish: 'withdraw' })));
      expect(it.state()).toBe('withdrawing');
      while (it.state() === 'withdrawing') it.run(nextStep(it.journal(), it.facts()));
      expect(it.state()).toBe('catching_up');
      expect(it.shards.source).toMatchObject({ isFenced: false, hasInbound: false, isOwner: true });
      for (let steps = 0; it.state() !== 'done' && steps < 40; steps += 1) {
        it.run(nextStep(it.journal(), it.facts({ wish: 'finish' })));
      }
      expect(it.state()).toBe('done');
    },
  );

  test('a rollback that is withdrawn leaves the move where it was', () => {
    const it = runTo('rollback_fencing', 'roll-back');
    it.run(nextStep(it.journal(), it.facts()));
    it.run(nextStep(it.journal(), it.facts({ wish: 'withdraw' })));
    while (it.state() === 'rollback_withdrawing') it.run(nextStep(it.journal(), it.facts()));
    expect(it.state()).toBe('reversing');
    expect(it.shards.destination).toMatchObject({ isFenced: false, isOwner: true });
    expect(it.shards.source).toMatchObject({ hasInbound: true });
  });

  test('after the switch there is no way to give up', () => {
    const it = runTo('committed');
    expect(nextStep(it.journal(), it.facts({ wish: 'abort' }))).toMatchObject({ kind: 'effect' });
  });

  test('waits for the stream, for routers, for the barrier and for a wish', () => {
    const caughtUp = runTo('catching_up');
    expect(
      nextStep(caughtUp.journal(), caughtUp.facts({ isCopied: true, isCaughtUp: false })),
    ).toEqual({
      kind: 'wait',
      for: 'stream',
    });
    const fencing = runTo('fencing');
    expect(nextStep(fencing.journal(), fencing.facts({ unacknowledged: 1 }))).toEqual({
      kind: 'wait',
      for: 'routers',
    });
    fencing.run(nextStep(fencing.journal(), fencing.facts()));
    const unseen = { ...fencing.shards.destination, barrierSeen: 0 };
    expect(nextStep(fencing.journal(), fencing.facts({ destination: unseen }))).toEqual({
      kind: 'wait',
      for: 'barrier',
    });
    const reversing = runTo('reversing');
    expect(nextStep(reversing.journal(), reversing.facts())).toEqual({ kind: 'wait', for: 'wish' });
  });

  test('rows are not cleaned before the routers have acknowledged the release', () => {
    const it = runTo('cleaning', 'finish');
    it.run(nextStep(it.journal(), it.facts({ unacknowledged: 1 })));
    it.run(nextStep(it.journal(), it.facts({ unacknowledged: 1 })));
    expect(nextStep(it.journal(), it.facts({ unacknowledged: 1 }))).toEqual({
      kind: 'wait',
      for: 'routers',
    });
  });

  test('what stands at an older generation is done again after a takeover', () => {
    const it = runTo('fencing');
    it.run(nextStep(it.journal(), it.facts()));
    expect(nextStep(it.journal(), it.facts())).toEqual({ kind: 'advance', to: 'drained' });
    const taken = { ...it.journal(), generation: it.journal().generation + 1 };
    expect(nextStep(taken, it.facts())).toMatchObject({
      kind: 'effect',
      effect: { kind: 'fence' },
    });
  });

  test('a copy that was lost on the way begins anew', () => {
    const it = runTo('catching_up');
    const lost = { ...it.shards.destination, hasInbound: false };
    expect(nextStep(it.journal(), it.facts({ destination: lost }))).toEqual({
      kind: 'effect',
      on: 'destination',
      effect: { kind: 'create-inbound', copies: true },
    });
  });
});
