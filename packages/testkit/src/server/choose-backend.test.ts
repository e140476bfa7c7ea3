import { isShardlineError } from '@shardline/core';
import { afterEach, describe, expect, test } from 'vitest';
import { startPostgres } from '../postgres/start-postgres.js';
import { chooseBackend, configuredBackend } from './choose-backend.js';

const before = process.env['SHARDLINE_BACKEND'];
afterEach(() => {
  if (before === undefined) delete process.env['SHARDLINE_BACKEND'];
  else process.env['SHARDLINE_BACKEND'] = before;
});

describe('the choice of a backend', () => {
  test('is read from SHARDLINE_BACKEND, where empty means none', () => {
    expect(configuredBackend({})).toBeUndefined();
    expect(configuredBackend({ SHARDLINE_BACKEND: '' })).toBeUndefined();
    expect(configuredBackend({ SHARDLINE_BACKEND: 'native' })).toBe('native');
    expect(configuredBackend({ SHARDLINE_BACKEND: 'containers' })).toBe('containers');
  });

  test('an unknown one is refused in one sentence that says what there is', async () => {
    process.env['SHARDLINE_BACKEND'] = 'kubernetes';
    await expect(startPostgres()).rejects.toSatisfy(
      (error) =>
        isShardlineError(error, 'TESTKIT_BACKEND_UNKNOWN') &&
        error.message.includes("'kubernetes'") &&
        error.message.includes("'native' or 'containers'"),
    );
  });

  test('is native wherever programs can be had', async () => {
    delete process.env['SHARDLINE_BACKEND'];
    expect((await chooseBackend('postgres')).name).toBe('native');
  });
});
