import { expect, test } from 'vitest';
import { runScenarios } from './run.js';
import type { Row, Scenario } from './scenario.js';

test('a run tells what it has measured after each scenario, a failed one too', async () => {
  const row = { suite: 'route', name: 'one' } as Row;
  const scenario = (name: string, run: Scenario['run']): Scenario => ({
    suite: 'route',
    name,
    situation: 'none',
    run,
  });
  const seen: string[] = [];
  const { rows, failures } = await runScenarios(
    [
      scenario('good', async () => [row]),
      scenario('bad', async () => {
        throw new Error('gone');
      }),
    ],
    { quick: true, signal: new AbortController().signal },
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
  expect(seen).toEqual(['1 rows, 0 failures', '1 rows, 1 failures']);
  expect([rows, failures]).toEqual([[row], [{ scenario: 'route/bad', message: 'gone' }]]);
});
