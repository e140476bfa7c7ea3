import { describe, expect, it } from 'vitest';
import { checkCoverage, conclude } from './coverage.js';
import type { HistoryEvent, Operation } from './operation.js';
import { atUs, historyOf, rulesOf, sample } from './sample-history.js';

const event = (name: string, timeUs: number, fields: Partial<HistoryEvent> = {}): HistoryEvent => ({
  recorder: 'recorder',
  name,
  atNs: atUs(timeUs),
  ...fields,
});
const state = (subject: string, entered: string, timeUs: number) =>
  event('move-state', timeUs, { subject, state: entered });
const call = (op: string, times: readonly [number, number | null], fields = {}) =>
  sample(op, 'call', times, fields);

const OPERATIONS: Operation[] = [
  call('1', [0, 12]),
  call('2', [12, 18]),
  call('3', [15, 25], { outcome: 'fail', sqlstate: 'SL001', error: 'SL001' }),
  call('4', [40, null]),
];
const EVENTS = [
  state('m1', 'copying', 10),
  event('hold', 19),
  state('m1', 'fencing', 20),
  state('m1', 'done', 30),
];
const history = historyOf(OPERATIONS, EVENTS);

describe('a run is worth judging when', () => {
  it('it saw all that was required', () => {
    const verdict = checkCoverage(history, {
      states: { copying: 3, fencing: 1, done: 1 },
      events: { hold: 1, 'move-state': 3 },
      outcomes: { ok: 2, fail: 1, info: 1 },
      sqlstates: { SL001: 1 },
      errors: { SL001: 1 },
      kinds: { call: 2 },
    });
    expect(verdict).toMatchObject({ valid: true, void: false, violations: [] });
    expect(verdict.counted).toMatchObject({ 'states.copying': 3, 'outcomes.info': 1 });
  });

  it('counts exactly, whatever the order of the operations', () => {
    const operations = [
      call('6', [50, 60]),
      call('4', [20, 25]),
      call('3', [15, 20]),
      call('2', [2, 9]),
      call('1', [0, 10]),
      call('5', [21, 22], { outcome: 'fail' }),
    ];
    const events = [...EVENTS, event('state without a subject', 5, { state: 'copying' })];
    const subject = event('subject without a state', 12, { subject: 'm1' });
    const { counted } = checkCoverage(historyOf(operations, [subject, ...events]), {
      states: { copying: 0, fencing: 0, done: 0 },
      kinds: { call: 0 },
      outcomes: { ok: 0, fail: 0, info: 0 },
    });
    expect(counted).toEqual({
      'states.copying': 3,
      'states.fencing': 3,
      'states.done': 1,
      'kinds.call': 5,
      'outcomes.ok': 5,
      'outcomes.fail': 1,
      'outcomes.info': 0,
      violations: 0,
    });
  });

  it('a state was passed by several moves: their operations add up', () => {
    const twice = historyOf(OPERATIONS, [
      ...EVENTS,
      state('m2', 'copying', 39),
      state('m2', 'done', 41),
    ]);
    expect(checkCoverage(twice, { states: { copying: 4 } }).void).toBe(false);
    expect(checkCoverage(history, { states: { copying: 4 } }).void).toBe(true);
  });
});

describe('a run is void when', () => {
  const lacking = {
    'too few operations overlapped a state': { states: { fencing: 2 } },
    'a state was never entered': { states: { rolling_back: 1 } },
    'an event never happened': { events: { thaw: 1 } },
    'no outcome was unknown': { outcomes: { info: 2 } },
    'nothing was refused': { sqlstates: { '40001': 1 } },
    'an error never occurred': { errors: { QUEUE_FULL: 1 } },
    'operations of a kind did not succeed often enough': { kinds: { call: 3 } },
    'a name is one that every object has': { events: { constructor: 1 } },
  };
  it.each(Object.entries(lacking))('%s', (_name, requirements) => {
    const verdict = checkCoverage(history, requirements);
    expect(verdict).toMatchObject({ valid: false, void: true });
    expect(rulesOf(verdict)).toEqual(['not-covered']);
    expect(verdict.violations[0]?.message).toMatch(
      /occurred \d times, but the run needs at least \d/,
    );
  });

  it('an operation that never returned is not taken to overlap all that came later', () => {
    const early = historyOf([call('1', [0, null])], EVENTS);
    expect(checkCoverage(early, { states: { fencing: 1 } }).void).toBe(true);
  });

  it('the state was over before any operation began', () => {
    const late = historyOf([call('1', [21, 22])], EVENTS);
    expect(checkCoverage(late, { states: { copying: 1 } }).void).toBe(true);
    expect(checkCoverage(late, { states: { fencing: 1 } }).void).toBe(false);
  });
});

describe('the conclusion', () => {
  const good = { valid: true, violations: [], counted: {} };
  const bad = { ...good, valid: false };
  const covered = checkCoverage(history, {});
  const lacking = checkCoverage(history, { events: { thaw: 1 } });

  it('is green only if nothing was broken and enough was seen', () => {
    expect(conclude([good, good], covered)).toBe('green');
  });

  it('is void if too little was seen, or nobody judged', () => {
    expect(conclude([good], lacking)).toBe('void');
    expect(conclude([], covered)).toBe('void');
  });

  it('is red as soon as anything was broken, however little was seen', () => {
    expect(conclude([good, bad], covered)).toBe('red');
    expect(conclude([bad], lacking)).toBe('red');
  });
});
