import { describe, expect, test } from 'vitest';
import { readOptions } from './options.js';
import { SUITES } from './scenario.js';

describe('readOptions', () => {
  test('without words everything is measured', () => {
    expect(readOptions([])).toMatchObject({ suites: SUITES, names: [], quick: false });
  });

  test('suites may be listed with commas or one by one', () => {
    expect(readOptions(['--suite', 'cache,pool', '--suite', 'route', '--quick'])).toMatchObject({
      suites: ['cache', 'pool', 'route'],
      quick: true,
    });
  });

  test.each([
    [['--suite', 'cash'], /There is no suite 'cash'\. There are: route,/],
    [['--qick'], /Unknown option '--qick'/],
    [['--compare', 'one.json'], /takes two JSON files/],
  ])('%j is refused with a sentence', (parameters, sentence) => {
    expect(readOptions(parameters)).toEqual({ fault: expect.stringMatching(sentence) });
  });
});
