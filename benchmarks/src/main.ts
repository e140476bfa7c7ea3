import { access, appendFile, constants, mkdir, readFile, writeFile } from 'node:fs/promises';
import { type BenchOptions, readOptions, USAGE } from './options.js';
import { runInOwnProcess } from './own-process.js';
import { renderCapacity } from './report/capacity.js';
import { describeCommit, describeMachine, describeVersions } from './report/machine.js';
import { writeResults } from './report/page.js';
import { findRegressions } from './report/regressions.js';
import { measurementsOf, type Results, resultsByTarget } from './report/results.js';
import { renderDetails, renderResults, renderShortfalls } from './report/table.js';
import { type Measured, runScenarios } from './run.js';
import type { Scenario } from './scenario.js';
import { SUITES } from './scenario.js';
import { scenarios } from './scenarios.js';

const SCENARIO_PROGRAM = new URL('./scenario.js', import.meta.url);

/**
 * `npm run bench`: exit code 0 when everything asked for was measured, whether or not it kept its target
 * (a slow machine is no broken build); 1 when a scenario failed or a comparison shows a regression; 2
 * for a command line that makes no sense; 130 after Ctrl-C.
 */
const options = readOptions(process.argv.slice(2));
if ('fault' in options) {
  console.error(`${options.fault}\n\n${USAGE}`);
  process.exitCode = 2;
} else {
  process.exitCode = await obey(options);
}

async function obey(asked: BenchOptions): Promise<number> {
  if (asked.help) {
    console.log(USAGE);
    return 0;
  }
  if (asked.compareWith !== undefined) return showRegressions(...asked.compareWith);
  if (asked.capacityFrom !== undefined) return showCapacity(asked.capacityFrom);
  const chosen = scenarios.filter((scenario) => isWanted(scenario, asked));
  if (chosen.length === 0) {
    console.error(`No scenario matches. \`npm run bench -- --list\` names them all.`);
    return 2;
  }
  if (asked.list) {
    for (const { suite, name, situation } of chosen)
      console.log(`${suite}/${name}\n    ${situation}\n`);
    return 0;
  }
  return measure(chosen, asked);
}

function isWanted({ suite, name }: Scenario, { suites, names }: BenchOptions): boolean {
  if (!suites.includes(suite)) return false;
  return names.length === 0 || names.includes(name) || names.includes(`${suite}/${name}`);
}

async function measure(chosen: readonly Scenario[], asked: BenchOptions): Promise<number> {
  const fault = await whyNotWritable(asked);
  if (fault !== undefined) {
    console.error(fault);
    return 2;
  }
  const interrupted = new AbortController();
  process.once('SIGINT', () => interrupted.abort());
  process.once('SIGTERM', () => interrupted.abort());
  const startedMs = Date.now();
  // Asked now: whoever goes on working commits while this runs.
  const about = {
    machine: describeMachine(),
    versions: describeVersions(),
    commit: describeCommit(),
    quick: asked.quick,
    startedAt: new Date(startedMs).toISOString(),
  };
  const resultsOf = ({ rows, curves, failures }: Measured): Results => ({
    ...about,
    seconds: (Date.now() - startedMs) / 1000,
    ...resultsByTarget(rows),
    curves,
    failures,
  });
  const measured = await runScenarios(
    chosen,
    {
      signal: interrupted.signal,
      execute: (scenario, listener) =>
        runInOwnProcess(
          scenario,
          { program: SCENARIO_PROGRAM, quick: asked.quick, signal: interrupted.signal },
          listener,
        ),
    },
    {
      onStart: ({ suite, name }, index, total) =>
        console.log(
          `\n» ${suite}/${name} (${index + 1} of ${total}, ${timeLeft(startedMs, index, total)})`,
        ),
      onNote: (text) => console.log(`  ${text}`),
      onRows: (seen) => {
        for (const row of seen) {
          console.log(`  ${row.name}: ${row.ratio.toPrecision(3)} x ${row.peer}`);
          if (row.details !== undefined) console.log(`    ${renderDetails(row.details)}`);
        }
      },
      onFailure: ({ suite, name }, { details }) =>
        console.error(`✗ ${suite}/${name} failed: ${details}`),
      // A machine that dies in the last scenario takes only that one's lines with it.
      onMeasured: (soFar) => saveRows(resultsOf(soFar), asked),
    },
  );
  const results = resultsOf(measured);
  await report(results, asked);
  return interrupted.signal.aborted ? 130 : results.failures.length > 0 ? 1 : 0;
}

async function report(results: Results, asked: BenchOptions): Promise<void> {
  // Whoever asked for a part knows that the rest was not run.
  const showsNotRun = asked.names.length === 0 && asked.suites.length === SUITES.length;
  const hasLines = showsNotRun || measurementsOf(results).length > 0;
  if (hasLines) console.log(`\n${renderResults(results, { showsNotRun })}`);
  for (const line of renderShortfalls(results)) console.log(line);
  const count = (wanted: string) => results.rows.filter(({ status }) => status === wanted).length;
  console.log(
    `${results.rows.length} targets: ${count('met')} met, ${count('short')} short, ${count('not run')} not run; ` +
      `${results.failures.length} scenarios failed; ${Math.round(results.seconds)} s.`,
  );
  if (asked.jsonFile !== undefined) {
    await saveRows(results, asked);
    console.log(`The rows are in ${asked.jsonFile}.`);
  }
  if (asked.resultsFolder !== undefined) {
    await writeResults(asked.resultsFolder, results);
    console.log(`The page and its charts are in ${asked.resultsFolder}.`);
  } else if (results.curves.length > 0) {
    console.log(`${results.curves.length} curves were measured: --results FOLDER draws them.`);
  }
}

/** Better told now than when the measuring is done. */
async function whyNotWritable({ jsonFile, resultsFolder }: BenchOptions) {
  try {
    if (jsonFile !== undefined) await appendFile(jsonFile, '');
    if (resultsFolder !== undefined) {
      await mkdir(resultsFolder, { recursive: true });
      await access(resultsFolder, constants.W_OK);
    }
    return undefined;
  } catch (error) {
    return `The results could not be written: ${(error as Error).message}. Name a place that can be written to.`;
  }
}

async function saveRows(results: Results, { jsonFile }: BenchOptions): Promise<void> {
  if (jsonFile === undefined) return;
  await writeFile(jsonFile, `${JSON.stringify(results, undefined, 2)}\n`);
}

function timeLeft(startedMs: number, done: number, total: number): string {
  if (done === 0) return 'time left not known yet';
  const minutes = (((Date.now() - startedMs) / done) * (total - done)) / 60_000;
  return `about ${Math.max(1, Math.round(minutes))} min left`;
}

async function showRegressions(before: string, after: string): Promise<number> {
  const [old, current] = await Promise.all(
    [before, after].map(async (file) =>
      measurementsOf(JSON.parse(await readFile(file, 'utf8')) as Results),
    ),
  );
  const regressions = findRegressions(old ?? [], current ?? []);
  for (const { name, before: was, after: is, worseBy } of regressions) {
    console.log(
      `${name}: ${was.toPrecision(3)} x became ${is.toPrecision(3)} x (${(100 * worseBy).toFixed(0)} % worse)`,
    );
  }
  if (regressions.length === 0) console.log('Nothing got worse beyond the noise.');
  return regressions.length > 0 ? 1 : 0;
}

async function showCapacity(file: string): Promise<number> {
  let results: unknown;
  try {
    results = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    console.error(
      `${file} cannot be read (${(error as Error).message}). Make one: npm run bench -- --json results.json`,
    );
    return 2;
  }
  console.log(renderCapacity(results));
  return 0;
}
