import { describe, expect, test } from 'vitest';
import { advance, type MoveJournal, openJournal, takeOver } from './journal.js';

const claim = { generation: 7, holder: 'one' };
const journal: MoveJournal = openJournal({ source: 'a', destination: 'b', epoch: 3 }, claim);

describe('the journal of a move', () => {
  test('goes from state to state and takes a new generation each time', () => {
    const change = advance(journal, claim, 'preflight', 8);
    expect(change).toEqual({
      outcome: 'changed',
      catalog: undefined,
      journal: { ...journal, state: 'preflight', generation: 8 },
    });
  });

  test('refuses who has read an older generation, or does not hold it', () => {
    const superseded = { outcome: 'refused', reason: 'superseded' };
    expect(advance(journal, { ...claim, generation: 6 }, 'preflight', 8)).toEqual(superseded);
    expect(advance(journal, { ...claim, holder: 'two' }, 'preflight', 8)).toEqual(superseded);
    expect(takeOver(journal, { generation: 6 }, 'two', 8)).toEqual(superseded);
  });

  test('refuses a step that does not follow, and a generation that is not new', () => {
    expect(advance(journal, claim, 'committed', 8)).toEqual({
      outcome: 'refused',
      reason: 'not-allowed',
    });
    for (const generation of [6, 7]) {
      expect(advance(journal, claim, 'preflight', generation)).toEqual({
        outcome: 'refused',
        reason: 'generation-not-new',
      });
    }
  });

  test('raises the epoch at a switch and nowhere else', () => {
    const drained: MoveJournal = { ...journal, state: 'drained' };
    expect(advance(drained, claim, 'committed', 8)).toMatchObject({
      catalog: 'switch',
      journal: { epoch: 4 },
    });
    expect(advance({ ...journal, state: 'catching_up' }, claim, 'fencing', 8)).toMatchObject({
      catalog: 'hold',
      journal: { epoch: 3 },
    });
    expect(
      advance({ ...journal, state: 'rollback_drained' }, claim, 'rollback_committed', 8),
    ).toMatchObject({ catalog: 'switch', journal: { epoch: 4 } });
  });

  test('after a takeover the one before can change nothing', () => {
    const taken = takeOver(journal, claim, 'two', 9);
    expect(taken).toMatchObject({ outcome: 'changed', journal: { holder: 'two', generation: 9 } });
    if (taken.outcome !== 'changed') return;
    expect(advance(taken.journal, claim, 'preflight', 10)).toMatchObject({ reason: 'superseded' });
    expect(advance(taken.journal, { generation: 9, holder: 'two' }, 'preflight', 10)).toMatchObject(
      { outcome: 'changed' },
    );
  });

  test('a move that is over is not taken over', () => {
    expect(takeOver({ ...journal, state: 'done' }, claim, 'two', 9)).toMatchObject({
      reason: 'not-allowed',
    });
  });
});
