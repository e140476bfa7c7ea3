import { describe, expect, test } from 'vitest';
import type { Row } from '../scenario.js';
import { targetLines } from '../targets.js';
import { marginOf, measurementsOf, resultsByTarget } from './results.js';

const row = (ratio: number, atLeast: number, answers?: Row['answers']): Row => ({
  suite: 'pool',
  name: `at least ${atLeast}`,
  answers,
  peer: 'pg.Pool',
  unit: 'reads/s',
  ours: ratio,
  theirs: 1,
  ratio,
  ratioSpread: 0,
  target: { relation: 'at least', ratio: atLeast },
  met: ratio >= atLeast,
});

describe('resultsByTarget', () => {
  test('has one row for every line of the targets, and says which were not run', () => {
    const { rows } = resultsByTarget([row(1.8, 1.7, 'pool/point-read')]);
    expect(rows.map(({ id }) => id)).toEqual(targetLines.map(({ id }) => id));
    expect(rows.filter(({ status }) => status !== 'not run')).toMatchObject([
      { id: 'pool/point-read', status: 'met', met: true, ratio: 1.8 },
    ]);
    expect(rows[0]).toMatchObject({ status: 'not run', met: null, ratio: null });
  });

  test('a line of several measurements is met when all are, and shows the one farthest off', () => {
    const measured = [row(1.8, 1.7, 'pool/point-read'), row(0.9, 0.95, 'pool/point-read')];
    const line = resultsByTarget(measured).rows.find(({ id }) => id === 'pool/point-read');
    expect(line).toMatchObject({ status: 'short', ratio: 0.9 });
  });

  test('loses no measurement, those without a target included', () => {
    const measured = [row(1.8, 1.7, 'pool/point-read'), row(3, 2)];
    expect(measurementsOf(resultsByTarget(measured))).toEqual(measured);
  });
});

describe('marginOf', () => {
  test('is above 1 exactly where a target is missed', () => {
    const exact = (ratio: number): Row => ({
      ...row(ratio, 1),
      target: { relation: 'exactly', ratio: 1 },
      met: ratio === 1,
    });
    for (const seen of [row(2, 1), row(1, 2), row(1, 1), exact(1), exact(3.5), exact(0.5)]) {
      expect(marginOf(seen) <= 1).toBe(seen.met);
    }
  });
});
