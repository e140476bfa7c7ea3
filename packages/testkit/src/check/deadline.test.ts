import { describe, expect, it } from 'vitest';
import { checkDeadlines } from './deadline.js';
import { LOOP_DELAY_EVENT } from './loop-delay.js';
import type { HistoryEvent, Operation } from './operation.js';
import { atUs, historyOf, rulesOf, sample } from './sample-history.js';

type Times = readonly [number, number | null];

/** Times and deadlines in milliseconds: timers are no finer. */
const call = (op: string, [fromMs, untilMs]: Times, deadlineMs: number, fields = {}) =>
  sample(op, 'call', [fromMs * 1000, untilMs === null ? null : untilMs * 1000], {
    deadlineNs: atUs(deadlineMs * 1000),
    ...fields,
  });
const stall = (
  fromMs: number,
  untilMs: number,
  delayMs: number,
  recorder = 'recorder',
): HistoryEvent => ({
  recorder,
  name: LOOP_DELAY_EVENT,
  atNs: atUs(fromMs * 1000),
  untilNs: atUs(untilMs * 1000),
  delayNs: atUs(delayMs * 1000),
});
const judge = (operations: Operation[], events: HistoryEvent[] = [], options = {}) =>
  checkDeadlines(historyOf(operations, events), options);

describe('deadlines are kept when', () => {
  it('calls return in time, or late by no more than a timer is', () => {
    const verdict = judge([
      call('1', [0, 50], 100),
      call('2', [0, 105], 100),
      sample('3', 'call', [0, 9e9]),
    ]);
    expect(verdict).toMatchObject({
      valid: true,
      counted: { calls: 2, excused: 0, diedFirst: 0, worstLatenessUs: 5000 },
    });
  });

  it('a call is late by what its event loop was late', () => {
    const verdict = judge([call('1', [0, 300], 100)], [stall(90, 310, 196)]);
    expect(verdict).toMatchObject({ valid: true, counted: { excused: 1 } });
  });

  it('the loop needs several late turns, where the caller allows for them', () => {
    const stalls = [stall(100, 200, 80), stall(200, 300, 80)];
    const operations = [call('1', [0, 260], 100)];
    expect(judge(operations, stalls).valid).toBe(false);
    expect(judge(operations, stalls, { loopTurns: 2 }).valid).toBe(true);
  });

  it('the process died before the deadline', () => {
    expect(judge([call('1', [0, null], 100)])).toMatchObject({
      valid: true,
      counted: { diedFirst: 1 },
    });
  });

  it('other events and the stalls of other windows are in the history', () => {
    const stalls = [stall(0, 50, 10), stall(90, 210, 100), stall(210, 220, 3), stall(400, 500, 90)];
    const operations = [call('1', [0, 200], 100), call('2', [0, 205], 100)];
    expect(judge(operations, stalls)).toMatchObject({ valid: true, counted: { excused: 2 } });
    const fading = [stall(90, 150, 100), stall(150, 210, 3)];
    expect(judge(operations, fading).valid).toBe(true);
    const renamed = stalls.map((event) => ({ ...event, name: 'hold' }));
    expect(judge(operations, renamed).valid).toBe(false);
  });

  it('a call that died is not counted among the late', () => {
    const counted = judge([
      call('1', [0, null], 100),
      call('2', [0, 90], 100),
      call('3', [0, 99], 98),
    ]).counted;
    expect(counted).toMatchObject({ diedFirst: 1, worstLatenessUs: 1000 });
    expect(judge([call('2', [0, 90], 100)]).counted).toMatchObject({ worstLatenessUs: 0 });
  });

  it('errors are declared', () => {
    const operations = [
      call('1', [0, 1], 100, { outcome: 'info', error: 'DEADLINE_EXCEEDED' }),
      call('2', [0, 1], 100),
      call('3', [0, null], 100),
    ];
    expect(judge(operations, [], { declaredErrors: ['DEADLINE_EXCEEDED'] }).valid).toBe(true);
  });
});

describe('deadlines are broken when', () => {
  const bad: Record<
    string,
    { operations: Operation[]; events?: HistoryEvent[]; options?: object; rule: string }
  > = {
    'a call returns late on a quick loop': {
      operations: [call('bad', [0, 106], 100)],
      rule: 'deadline-missed',
    },
    'a call is late although it succeeded': {
      operations: [call('bad', [0, 5000], 100, { outcome: 'ok' })],
      rule: 'deadline-missed',
    },
    'a call is later than the loop was': {
      operations: [call('bad', [0, 300], 100)],
      events: [stall(90, 310, 190)],
      rule: 'deadline-missed',
    },
    'the loop of another process was late': {
      operations: [call('bad', [0, 300], 100)],
      events: [stall(90, 310, 210, 'other')],
      rule: 'deadline-missed',
    },
    'the loop was late only before the deadline or after the return': {
      operations: [call('bad', [0, 300], 100)],
      events: [stall(0, 99, 500), stall(301, 900, 500)],
      rule: 'deadline-missed',
    },
    'many short stalls are added up to an excuse': {
      operations: [call('bad', [0, 300], 100)],
      events: Array.from({ length: 20 }, (_, index) =>
        stall(100 + index * 10, 110 + index * 10, 10),
      ),
      rule: 'deadline-missed',
    },
    'the caller tolerates less': {
      operations: [call('bad', [0, 102], 100)],
      options: { toleranceMs: 1 },
      rule: 'deadline-missed',
    },
    'a call hangs while its process lives on': {
      operations: [call('bad', [0, null], 100), call('later', [500, 501], 600)],
      rule: 'never-returned',
    },
    'a call ends with an error that nobody declared': {
      operations: [call('bad', [0, 1], 100, { outcome: 'info', error: 'ECONNRESET' })],
      options: { declaredErrors: ['DEADLINE_EXCEEDED'] },
      rule: 'undeclared-error',
    },
    'a call fails without a code': {
      operations: [call('bad', [0, 1], 100, { outcome: 'fail' })],
      options: { declaredErrors: [] },
      rule: 'undeclared-error',
    },
  };
  it.each(Object.keys(bad))('%s', (name) => {
    const { operations, events, options, rule } = bad[name] as (typeof bad)[string];
    const verdict = judge(operations, events, options);
    expect(verdict.valid).toBe(false);
    expect(rulesOf(verdict)).toEqual([rule]);
    expect(verdict.violations).toHaveLength(1);
    expect(verdict.violations[0]?.operations).toEqual(['bad']);
  });

  it('says how late, and how late the loop was', () => {
    const messages = judge(
      [call('1', [0, 300], 100), call('2', [0, null], 100)],
      [stall(90, 310, 100)],
    ).violations.map((violation) => violation.message);
    expect(messages).toEqual([
      'op 1 (call) returned 200.000 ms after its deadline; the event loop was late by 100.000 ms at most',
      'op 2 (call, info) had not returned 210.000 ms after its deadline, when its process was still ' +
        'there; the event loop was late by 100.000 ms at most',
    ]);
  });
});
