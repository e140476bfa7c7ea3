import { isShardlineError } from '@shardline/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ProbeResult } from '../topology/node-state.js';
import { comparePositions } from '../topology/wal-position.js';
import { currentSession, runInSession } from './current-session.js';
import { PositionCapture } from './position-capture.js';
import { Session, type SessionSources } from './session.js';
import { mergeFloors, NO_FLOOR } from './session-floor.js';
import { unendedBelow } from './snapshot-proof.js';

function probe(over: Partial<ProbeResult> = {}): ProbeResult {
  return {
    role: 'primary',
    timeline: 1,
    lsn: 100n,
    receivedLsn: undefined,
    replayAgeMs: 0,
    systemIdentifier: '42',
    startedAt: '1',
    snapshotXmax: 10n,
    snapshotXmin: 10n,
    ...over,
  };
}

/** Questions that the test answers by its own hand. */
class Answers {
  readonly asked: {
    node: string;
    resolve: (p: ProbeResult) => void;
    reject: (e: Error) => void;
  }[] = [];
  nextId = 700n;
  newestXmax: bigint | undefined = 10n;
  hasPrimary = true;

  readonly sources: SessionSources = {
    capture: (node) => new Promise((resolve, reject) => this.asked.push({ node, resolve, reject })),
    primary: () =>
      this.hasPrimary ? Promise.resolve('p') : Promise.reject(new Error('no primary')),
    nextTransactionId: () => Promise.resolve(this.nextId),
    newestSnapshotXmax: () => this.newestXmax,
  };

  async answer(over: Partial<ProbeResult> | Error): Promise<void> {
    await turn();
    const question = this.asked.shift();
    if (question === undefined) throw new Error('Nobody has asked.');
    if (over instanceof Error) question.reject(over);
    else question.resolve(probe(over));
    await turn();
  }
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('floors', () => {
  const anyFloor = fc.record({
    position: fc.option(
      fc.record({
        timeline: fc.integer({ min: 1, max: 3 }),
        lsn: fc.bigInt({ min: 0n, max: 99n }),
      }),
      { nil: undefined },
    ),
    snapshotXmax: fc.option(fc.bigInt({ min: 0n, max: 99n }), { nil: undefined }),
  });

  test('merge upwards only, in any order', () => {
    fc.assert(
      fc.property(anyFloor, anyFloor, anyFloor, (a, b, c) => {
        expect(mergeFloors(a, b)).toEqual(mergeFloors(b, a));
        expect(mergeFloors(mergeFloors(a, b), c)).toEqual(mergeFloors(a, mergeFloors(b, c)));
        expect(mergeFloors(a, a)).toEqual(a);
        const merged = mergeFloors(a, b);
        if (a.position !== undefined) {
          expect(comparePositions(merged.position as never, a.position)).toBeGreaterThanOrEqual(0);
        }
        if (a.snapshotXmax !== undefined) {
          expect((merged.snapshotXmax as bigint) >= a.snapshotXmax).toBe(true);
        }
      }),
    );
  });
});

describe('a session', () => {
  test('stays on the primary until its write has a position', async () => {
    const answers = new Answers();
    const session = new Session(answers.sources);
    session.didOnPrimary('p');
    session.didOnPrimary('p');
    expect(session.view.isPrimaryPending).toBe(true);
    await answers.answer({ lsn: 50n });
    expect(session.view.isPrimaryPending).toBe(true);
    await answers.answer({ lsn: 60n });
    expect(session.view.isPrimaryPending).toBe(false);
    expect(session.view.floor.position).toEqual({ timeline: 1, lsn: 60n });
    expect(session.view.floor.snapshotXmax).toBeUndefined();
  });

  test('keeps what a replica has shown: its position and its snapshot', async () => {
    const answers = new Answers();
    const session = new Session(answers.sources);
    session.didOnReplica('r');
    expect([...session.view.pendingReplicas]).toEqual(['r']);
    await answers.answer({ role: 'replica', lsn: 40n, snapshotXmax: 726n });
    expect(session.view.pendingReplicas.size).toBe(0);
    expect(session.view.floor).toEqual({
      position: { timeline: 1, lsn: 40n },
      snapshotXmax: 726n,
    });
    session.proved(725n);
    expect(session.view.floor.snapshotXmax).toBe(726n);
    session.proved(726n);
    expect(session.view.floor.snapshotXmax).toBeUndefined();
  });

  test('whose write was acknowledged by a primary that is gone asks the next one', async () => {
    const answers = new Answers();
    const session = new Session(answers.sources);
    session.didOnPrimary('p');
    await answers.answer(new Error('gone'));
    expect(session.view.isPrimaryPending).toBe(true);
    const settled = session.settle();
    await answers.answer({ timeline: 2, lsn: 30n });
    await settled;
    expect(session.view.isPrimaryPending).toBe(false);
    expect(session.view.floor.position).toEqual({ timeline: 2, lsn: 30n });
  });

  test('whose replica is gone takes the primary, and the next transaction id, as its bound', async () => {
    const answers = new Answers();
    const session = new Session(answers.sources);
    session.didOnReplica('r');
    await answers.answer(new Error('gone'));
    expect(session.view.pendingReplicas.size).toBe(1);
    const settled = session.settle();
    await answers.answer({ lsn: 90n });
    await settled;
    expect(session.view.pendingReplicas.size).toBe(0);
    expect(session.view.floor).toEqual({ position: { timeline: 1, lsn: 90n }, snapshotXmax: 700n });
  });

  test('that cannot settle says so, and can later', async () => {
    const answers = new Answers();
    answers.hasPrimary = false;
    const session = new Session(answers.sources);
    session.didOnPrimary('p');
    await answers.answer(new Error('gone'));
    const error = await session.settledFloor().catch((thrown: unknown) => thrown);
    expect(isShardlineError(error, 'POOL_SESSION_UNSETTLED')).toBe(true);
    answers.hasPrimary = true;
    const floor = session.settledFloor();
    await answers.answer({ lsn: 5n });
    expect((await floor).position).toEqual({ timeline: 1, lsn: 5n });
  });

  test('with a claim is bound by what the primary holds', async () => {
    const claim = { position: { timeline: 1, lsn: 80n }, snapshotXmax: undefined };
    for (const [held, expected] of [
      [100n, 80n],
      [70n, 70n],
    ] as const) {
      const answers = new Answers();
      const session = Session.claiming(answers.sources, claim);
      expect(session.view.isPrimaryPending).toBe(true);
      await answers.answer({ lsn: held });
      expect(session.view.isPrimaryPending).toBe(false);
      expect(session.view.floor.position?.lsn).toBe(expected);
    }
  });

  test('with a claimed snapshot that somebody has shown keeps it, and reads at once', () => {
    const answers = new Answers();
    const session = Session.claiming(answers.sources, { position: undefined, snapshotXmax: 10n });
    expect(session.view.floor.snapshotXmax).toBe(10n);
    expect(session.view.pendingReplicas.size).toBe(0);
  });

  test('with a claimed snapshot from beyond all known ones reads nothing before it is bounded', async () => {
    const claim = { position: { timeline: 1, lsn: 80n }, snapshotXmax: 0n };
    for (const [claimed, expected] of [
      // The primary shows it by itself; an id below the next may have been seen; above it nothing can have been.
      [19n, 19n],
      [600n, 600n],
      [2n ** 63n, 700n],
    ] as const) {
      const answers = new Answers();
      const session = Session.claiming(answers.sources, { ...claim, snapshotXmax: claimed });
      expect(session.view.pendingReplicas.size).toBe(1);
      expect(session.view.isPrimaryPending).toBe(true);
      await answers.answer({ lsn: 100n, snapshotXmax: 20n });
      expect(session.view.pendingReplicas.size).toBe(0);
      expect(session.view.isPrimaryPending).toBe(false);
      expect(session.view.floor).toEqual({ position: claim.position, snapshotXmax: expected });
    }
  });

  test('with a claimed snapshot and a primary that is gone takes the next one’s bounds', async () => {
    const answers = new Answers();
    const session = Session.claiming(answers.sources, {
      position: { timeline: 1, lsn: 80n },
      snapshotXmax: 9000n,
    });
    await answers.answer(new Error('gone'));
    expect(session.view.pendingReplicas.size).toBe(1);
    const settled = session.settle();
    await answers.answer({ lsn: 90n });
    await settled;
    expect(session.view.pendingReplicas.size).toBe(0);
    expect(session.view.floor).toEqual({ position: { timeline: 1, lsn: 90n }, snapshotXmax: 700n });
  });

  test('never lowers its floor, whatever is answered in whatever order', async () => {
    const anyDeed = fc.record({
      onPrimary: fc.boolean(),
      answer: fc.option(fc.bigInt({ min: 0n, max: 50n }), { nil: undefined }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(anyDeed, { maxLength: 12 }), async (deeds) => {
        const answers = new Answers();
        const session = new Session(answers.sources, NO_FLOOR);
        let lowest = -1n;
        for (const { onPrimary, answer } of deeds) {
          if (onPrimary) session.didOnPrimary('p');
          else session.didOnReplica('r');
          const role = onPrimary ? 'primary' : 'replica';
          await answers.answer(answer === undefined ? new Error('gone') : { role, lsn: answer });
          const lsn = session.view.floor.position?.lsn ?? -1n;
          expect(lsn >= lowest).toBe(true);
          lowest = lsn;
        }
      }),
      { numRuns: 50 },
    );
  });
});

describe('the capture of positions', () => {
  test('answers with a question sent after the call, and shares it', async () => {
    let sent = 0;
    const waiting: ((p: ProbeResult) => void)[] = [];
    const capture = new PositionCapture({
      ask: () => {
        sent += 1;
        return new Promise((resolve) => waiting.push(resolve));
      },
      monotonicMs: () => 0,
    });
    const first = [capture.capture('p'), capture.capture('p')];
    await turn();
    expect(sent).toBe(1);
    const second = Array.from({ length: 100 }, () => capture.capture('p'));
    await turn();
    expect(sent).toBe(1);
    waiting.shift()?.(probe({ lsn: 1n }));
    expect((await Promise.all(first)).map(({ lsn }) => lsn)).toEqual([1n, 1n]);
    await turn();
    expect(sent).toBe(2);
    waiting.shift()?.(probe({ lsn: 2n }));
    expect(new Set((await Promise.all(second)).map(({ lsn }) => lsn))).toEqual(new Set([2n]));
  });

  test('is one question for all that came in by the same turn of the event loop', async () => {
    let sent = 0;
    const ask = async () => {
      sent += 1;
      return probe();
    };
    const capture = new PositionCapture({ ask, monotonicMs: () => 0 });
    // Answers that lie in several sockets: each is read by a callback of its own, with its microtasks after it.
    const captures = await new Promise<Promise<ProbeResult>[]>((resolve) => {
      const asked: Promise<ProbeResult>[] = [];
      setImmediate(() => asked.push(capture.capture('p')));
      setImmediate(() => asked.push(capture.capture('p')));
      setImmediate(() => resolve(asked));
    });
    await Promise.all(captures);
    expect(sent).toBe(1);
  });

  test('goes on after a failure, and one server does not hold up another', async () => {
    let isDown = true;
    const capture = new PositionCapture({
      ask: (name) =>
        name === 'stuck'
          ? new Promise(() => {})
          : isDown
            ? Promise.reject(new Error('down'))
            : Promise.resolve(probe()),
      monotonicMs: () => 0,
    });
    void capture.capture('stuck');
    await expect(capture.capture('p')).rejects.toThrow('down');
    isDown = false;
    await expect(capture.capture('p')).resolves.toMatchObject({ lsn: 100n });
  });
});

describe('the current session', () => {
  test('belongs to its pool and its asynchronous context', async () => {
    const [poolA, poolB] = [{}, {}];
    const sources = new Answers().sources;
    const [a, b] = [new Session(sources), new Session(sources)];
    expect(currentSession(poolA)).toBeUndefined();
    await runInSession(poolA, a, async () => {
      await turn();
      expect(currentSession(poolA)).toBe(a);
      expect(currentSession(poolB)).toBeUndefined();
      await runInSession(poolB, b, async () => {
        await turn();
        expect(currentSession(poolA)).toBe(a);
        expect(currentSession(poolB)).toBe(b);
      });
      expect(currentSession(poolB)).toBeUndefined();
    });
    expect(currentSession(poolA)).toBeUndefined();
  });
});

describe('transactions that have not ended by a snapshot', () => {
  test.each([
    ['726:726:', 726n, []],
    ['700:730:700,710,728', 726n, [700n, 710n]],
    ['725:725:', 726n, [725n]],
    ['700:724:700', 726n, [700n, 724n, 725n]],
    ['700:724:700', 5000n, undefined],
  ])('in %s below %s are %s', (snapshot, id, expected) => {
    expect(unendedBelow(snapshot, id)).toEqual(expected);
  });
});
