import { describe, expect, test } from 'vitest';
import { nextStreamStep, type StreamFacts, withoutStream } from './stream-step.js';

const COPY = { kind: 'create-inbound', copies: true } as const;
const REVERSE = { kind: 'create-inbound', copies: false } as const;
const NONE = { hasInbound: false, hasIdleInbound: false };
const IDLE = { hasInbound: false, hasIdleInbound: true };
const RUNS = { hasInbound: true, hasIdleInbound: false };

function facts(here: Partial<StreamFacts['here']>, back: StreamFacts['back'] = NONE): StreamFacts {
  return { here: { ...NONE, isFed: true, mayHaveRows: false, ...here }, back };
}

describe('the next step to a stream', () => {
  test('a stream that runs is kept, and one that stands idle is woken: nothing is copied again', () => {
    expect(nextStreamStep(COPY, facts({ ...RUNS, mayHaveRows: true }, IDLE))).toBe('keep');
    expect(nextStreamStep(COPY, facts({ ...IDLE, mayHaveRows: true }, IDLE))).toBe('wake');
    expect(nextStreamStep(REVERSE, facts(IDLE, RUNS))).toBe('wake');
  });

  test('a stream whose slot is lost goes before anything else, whether it counted or not', () => {
    for (const stream of [IDLE, RUNS]) {
      for (const effect of [COPY, REVERSE]) {
        const lost = facts({ ...stream, isFed: false, mayHaveRows: true }, IDLE);
        expect(nextStreamStep(effect, lost)).toBe('take-off');
      }
    }
  });

  test('before an earlier copy is taken away the stream that leads back goes', () => {
    for (const back of [IDLE, RUNS]) {
      expect(nextStreamStep(COPY, facts({ isFed: false, mayHaveRows: true }, back))).toBe(
        'take-off-back',
      );
    }
    expect(nextStreamStep(COPY, facts({ isFed: false, mayHaveRows: true }))).toBe('empty');
    expect(nextStreamStep(COPY, facts({ isFed: false }))).toBe('create');
  });

  test('a stream without a copy needs no empty ground, and leaves the other one alone', () => {
    expect(nextStreamStep(REVERSE, facts({ isFed: false, mayHaveRows: true }, RUNS))).toBe(
      'create',
    );
  });
});

test('a record whose stream is lost has none, and is out of date at every generation', () => {
  const record = {
    generation: 7,
    isOwner: false,
    epoch: 3,
    isFenced: false,
    hasInbound: true,
    hasForeignRows: true,
    barrierWritten: 0,
    barrierSeen: 0,
  };
  expect(withoutStream(record)).toEqual({ ...record, hasInbound: false, generation: -1 });
});
