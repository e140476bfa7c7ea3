import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { ShardlineError } from './errors.js';
import { checkOptions, durationOption, integerOption, nearestName } from './options.js';

const schema = v.strictObject({
  max: v.optional(integerOption(1, 1000), 10),
  acquireTimeout: v.optional(durationOption({ min: '1ms', max: '1h' }), '5s'),
  primary: v.strictObject({ host: v.string(), port: integerOption(1, 65_535) }),
  replicas: v.optional(
    v.array(v.strictObject({ host: v.string(), port: integerOption(1, 65_535) })),
    [],
  ),
});

function faultsOf(input: unknown) {
  try {
    checkOptions(schema, input, 'Pool');
  } catch (error) {
    expect(error).toBeInstanceOf(ShardlineError);
    return (error as ShardlineError).details.faults;
  }
  return [];
}

describe('checkOptions', () => {
  test('fills in defaults and turns durations into milliseconds', () => {
    expect(checkOptions(schema, { primary: { host: 'a', port: 5432 } }, 'Pool')).toEqual({
      max: 10,
      acquireTimeout: 5000,
      primary: { host: 'a', port: 5432 },
      replicas: [],
    });
  });

  test('names every fault at once, each with its path', () => {
    const faults = faultsOf({
      max: 0,
      acquireTimeout: 30,
      primary: { host: 'a' },
      replicas: [
        { host: 'b', port: 5432 },
        { host: 'c', port: 99_999 },
      ],
    });
    expect(faults).toEqual([
      { path: 'max', message: 'must be a whole number from 1 to 1000, received 0' },
      {
        path: 'acquireTimeout',
        message: "30 has no unit: write '30s' if seconds are meant, '30ms' if milliseconds",
      },
      { path: 'primary.port', message: 'is missing' },
      {
        path: 'replicas[1].port',
        message: 'must be a whole number from 1 to 65535, received 99999',
      },
    ]);
  });

  test('suggests the right name for a mistyped one, in nested places too', () => {
    const faults = faultsOf({
      aquireTimeout: '5s',
      primary: { host: 'a', port: 1, prot: 2 },
      replicas: [{ hosts: 'b', host: 'b', port: 1 }],
      somethingElse: true,
    });
    expect(faults).toEqual([
      { path: 'primary.prot', message: "is no option; did you mean 'port'?" },
      { path: 'replicas[0].hosts', message: "is no option; did you mean 'host'?" },
      { path: 'aquireTimeout', message: "is no option; did you mean 'acquireTimeout'?" },
    ]);
    expect(faultsOf({ primary: { host: 'a', port: 1 }, somethingElse: true })).toEqual([
      { path: 'somethingElse', message: 'is no option' },
    ]);
  });

  test('says the bounds of a duration that is out of them', () => {
    expect(faultsOf({ primary: { host: 'a', port: 1 }, acquireTimeout: '2h' })).toEqual([
      { path: 'acquireTimeout', message: "must be from '1ms' to '1h'" },
    ]);
  });

  test('nothing at all is a fault of its own, not a crash', () => {
    expect(faultsOf(undefined)).toHaveLength(1);
    expect(faultsOf(null)).toHaveLength(1);
  });
});

describe('nearestName', () => {
  test('finds a near name and stays silent rather than guess wildly', () => {
    expect(nearestName('concurency', ['concurrency', 'timeout'])).toBe('concurrency');
    expect(nearestName('zzz', ['concurrency', 'timeout'])).toBeUndefined();
  });
});
