import { readFile, writeFile } from 'node:fs/promises';
import { readOptions, USAGE } from './options.js';
import { describeCommit, describeMachine } from './report/machine.js';
import { findRegressions } from './report/regressions.js';
import { renderDetails, renderRows } from './report/table.js';
import { runScenarios } from './run.js';
import type { Row } from './scenario.js';
import { scenarios } from './scenarios.js';

/**
 * `npm run bench`: exit code 0 when everything asked for was measured, whether or not it kept its target
 * (a slow machine is no broken build); 1 when a scenario failed or a comparison shows a regression; 2
 * for a command line that makes no sense; 130 after Ctrl-C.
 */
const options = readOptions(process.argv.slice(2));
if ('fault' in options) {
  console.error(`${options.fault}\n\n${USAGE}`);
  process.exit(2);
}
if (options.help) {
  console.log(USAGE);
  process.exit(0);
}
if (options.compareWith !== undefined) {
  process.exit(await showRegressions(...options.compareWith));
}

const chosen = scenarios.filter(
  ({ suite, name }) =>
    options.suites.includes(suite) &&
    (options.names.length === 0 ||
      options.names.includes(name) ||
      options.names.includes(`${suite}/${name}`)),
);
if (chosen.length === 0) {
  console.error(`No scenario matches. \`npm run bench -- --list\` names them all.`);
  process.exit(2);
}
if (options.list) {
  for (const { suite, name, situation } of chosen)
    console.log(`${suite}/${name}\n    ${situation}\n`);
  process.exit(0);
}

const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
process.once('SIGTERM', () => interrupted.abort());

const { quick } = options;
const startedMs = Date.now();
const { rows, failures } = await runScenarios(
  chosen,
  { quick, signal: interrupted.signal },
  {
    onStart: ({ suite, name }, index, total) =>
      console.log(`\n» ${suite}/${name} (${index + 1} of ${total}, ${timeLeft(index, total)})`),
    onNote: (text) => console.log(`  ${text}`),
    onRows: (seen) => {
      for (const row of seen) {
        console.log(`  ${row.name}: ${row.ratio.toPrecision(3)} x ${row.peer}`);
        if (row.details !== undefined) console.log(`    ${renderDetails(row.details)}`);
      }
    },
    onFailure: ({ suite, name }, error) => console.error(`✗ ${suite}/${name} failed:`, error),
  },
);

console.log(`\n${renderRows(rows)}`);
const short = rows.filter(({ met }) => !met).length;
console.log(
  `${rows.length} rows, ${rows.length - short} targets met, ${short} short, ${failures} scenarios failed.`,
);
if (options.jsonFile !== undefined) await writeJson(options.jsonFile, rows);
process.exitCode = interrupted.signal.aborted ? 130 : failures > 0 ? 1 : 0;

function timeLeft(done: number, total: number): string {
  if (done === 0) return 'time left not known yet';
  const minutes = (((Date.now() - startedMs) / done) * (total - done)) / 60_000;
  return `about ${Math.max(1, Math.round(minutes))} min left`;
}

async function writeJson(file: string, measured: readonly Row[]): Promise<void> {
  const result = {
    machine: describeMachine(),
    versions: process.versions,
    commit: describeCommit(),
    quick,
    rows: measured,
  };
  await writeFile(file, `${JSON.stringify(result, undefined, 2)}\n`);
  console.log(`The rows are in ${file}.`);
}

async function showRegressions(before: string, after: string): Promise<number> {
  const [old, current] = await Promise.all(
    [before, after].map(async (file) => {
      const { rows: read } = JSON.parse(await readFile(file, 'utf8')) as { rows: Row[] };
      return read;
    }),
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
