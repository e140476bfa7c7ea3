import { describe, expect, test } from 'vitest';
import { readOptions } from './options.js';
import { seededRandom, zipfSampler } from './zipf.js';

describe('the command line of the demo', () => {
  test('without words it writes no report and ends by itself', () => {
    expect(readOptions([])).toEqual({
      reportFile: undefined,
      keep: false,
      quick: false,
      help: false,
    });
  });

  test('takes a file for the report and may be kept running', () => {
    expect(readOptions(['--report', 'out.json', '--keep'])).toMatchObject({
      reportFile: 'out.json',
      keep: true,
    });
  });

  test.each([[['--repot', 'x']], [['--report']], [['surplus']]])(
    '%j is a fault in words',
    (words) => {
      expect(readOptions(words)).toEqual({ fault: expect.stringMatching(/\w+ \w+/) });
    },
  );
});

describe('popularity', () => {
  test('the same seed asks for the same users', () => {
    const draw = () => {
      const next = zipfSampler(1000, 0.99, seededRandom(7));
      return Array.from({ length: 50 }, next);
    };
    expect(draw()).toEqual(draw());
  });

  test('follows the law: the first rank comes about twice as often as the second', () => {
    const next = zipfSampler(1000, 1, seededRandom(7));
    const counts = new Uint32Array(1000);
    for (let draw = 0; draw < 200_000; draw += 1) {
      const rank = next();
      counts[rank] = (counts[rank] as number) + 1;
    }
    expect((counts[0] as number) / (counts[1] as number)).toBeCloseTo(2, 0);
    expect(counts[999]).toBeGreaterThan(0);
  });
});
