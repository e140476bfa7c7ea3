import { writeFile } from 'node:fs/promises';
import { runDemo } from './demo.js';
import { readOptions, USAGE } from './options.js';
import { Progress } from './progress.js';
import { type DemoReport, renderReport } from './report.js';
import { FULL, QUICK } from './sizes.js';

/**
 * `npm run demo`: exit code 0 when everything that must hold did, 1 when something did not or could not
 * be run, 2 for a command line that makes no sense, 130 after Ctrl-C.
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

const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (!interrupted.signal.aborted) console.log('\n» Stopping; servers are being ended …');
    interrupted.abort(signal);
  });
}

const progress = new Progress();
try {
  const report = await runDemo({
    progress,
    sizes: options.quick ? QUICK : FULL,
    keep: options.keep,
    signal: interrupted.signal,
    onReport: tell,
  });
  process.exitCode = report.kept ? 0 : 1;
} catch (error) {
  if (interrupted.signal.aborted) process.exitCode = 130;
  else {
    console.error(`\n✗ ${(error as Error).stack}`);
    process.exitCode = 1;
  }
}

async function tell(report: DemoReport): Promise<void> {
  console.log(`\n${renderReport(report)}`);
  if (options === undefined || 'fault' in options || options.reportFile === undefined) return;
  await writeFile(options.reportFile, `${JSON.stringify(report, undefined, 2)}\n`);
  console.log(`\nThe report is in ${options.reportFile}.`);
}
