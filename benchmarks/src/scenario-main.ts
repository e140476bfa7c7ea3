import { inspect } from 'node:util';
import type { Failure, Report } from './own-process.js';
import { runScenario } from './run-scenario.js';
import { scenarios } from './scenarios.js';

/** The process of one scenario: `scenario.js SUITE/NAME [--quick]`, forked by `own-process.ts`. */
const [name, ...flags] = process.argv.slice(2);
const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
process.once('SIGTERM', () => interrupted.abort());
// Nobody is left who would read the rows; servers are closed on the way out.
process.once('disconnect', () => interrupted.abort());
process.on(
  'unhandledRejection',
  (error) => void tell({ kind: 'stray', failure: failureOf(error) }),
);

await tell(await run());
// Whatever the scenario has forgotten would keep the next one waiting.
process.exit();

async function run(): Promise<Report> {
  try {
    const scenario = scenarios.find((each) => `${each.suite}/${each.name}` === name);
    if (scenario === undefined) throw new Error(`There is no scenario '${name}'.`);
    const rows = await runScenario(scenario, {
      quick: flags.includes('--quick'),
      signal: interrupted.signal,
      note: (text) => void tell({ kind: 'note', text }),
      draw: (curve) => void tell({ kind: 'curve', curve }),
    });
    return { kind: 'rows', rows };
  } catch (error) {
    return { kind: 'failure', failure: failureOf(error) };
  }
}

function failureOf(error: unknown): Failure {
  const { message = String(error) } = (error ?? {}) as { message?: string };
  return { message, details: inspect(error) };
}

/** Resolves when the runner has it, or is gone. */
function tell(report: Report): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send?.(report, undefined, {}, () => resolve());
    else resolve();
  });
}
