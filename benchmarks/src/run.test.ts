import { expect, test } from 'vitest';
import { ScenarioFailedError } from './own-process.js';
import { type Execute, runScenarios } from './run.js';
import type { Row, Scenario } from './scenario.js';

const scenario = (name: string): Scenario => ({
  suite: 'route',
  name,
  situation: 'none',
  run: async () => [],
});

test('a run tells what it has measured after each scenario, a failed one and a stray failure too', async () => {
  const row = { suite: 'route', name: 'one' } as Row;
  const execute: Execute = async ({ name }, listener) => {
    const failure = { message: `${name} is gone`, details: 'where' };
    if (name === 'bad') throw new ScenarioFailedError(failure);
    if (name === 'stray') listener.onStray(failure);
    return [row];
  };
  const seen: string[] = [];
  const { rows, failures } = await runScenarios(
    [scenario('good'), scenario('bad'), scenario('stray')],
    { execute, signal: new AbortController().signal },
    {
      onStart: () => {},
      onNote: () => {},
      onRows: () => {},
      onFailure: () => {},
      onMeasured: async (soFar) => {
        seen.push(`${soFar.rows.length} rows, ${soFar.failures.length} failures`);
      },
    },
  );
  expect(seen).toEqual(['1 rows, 0 failures', '1 rows, 1 failures', '2 rows, 2 failures']);
  expect(rows).toEqual([row, row]);
  expect(failures).toEqual([
    { scenario: 'route/bad', message: 'bad is gone' },
    { scenario: 'route/stray', message: 'stray is gone' },
  ]);
});
