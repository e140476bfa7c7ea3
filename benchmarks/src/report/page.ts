import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Curve, Row } from '../scenario.js';
import { curveChart, targetsChart } from './charts.js';
import { explanations } from './explanations.js';
import { measurementsOf, type Results, type TargetResult } from './results.js';
import { quantity, renderDetails, renderTarget, shortNumber, verdictOf } from './table.js';

const PAGE = 'README.md';

/** Writes a folder that can be read by itself: the page, its charts, and the figures as JSON. */
export async function writeResults(folder: string, results: Results): Promise<void> {
  await mkdir(folder, { recursive: true });
  const write = (name: string, text: string) =>
    writeFile(join(folder, name), `${text.trimEnd()}\n`);
  await write('results.json', JSON.stringify(results, undefined, 2));
  if (measurementsOf(results).length > 0) await write('targets.svg', targetsChart(results.rows));
  for (const curve of results.curves) await write(fileOf(curve), curveChart(curve));
  await write(PAGE, renderPage(results));
}

/** `scaling-reads-s-by-processes.svg` */
function fileOf({ suite, name }: Curve): string {
  const slug = `${suite} ${name}`.toLowerCase().replace(/[^a-z0-9]+/g, '-');
  return `${slug.replace(/^-|-$/g, '')}.svg`;
}

/** The page, as Markdown. */
export function renderPage(results: Results): string {
  return [
    '# Results',
    introduction(results),
    ...shortLines(results.rows),
    '## Targets',
    '![Each line of the targets against its target](targets.svg)',
    targetsTable(results.rows),
    '## Every measurement',
    measurementsTable(measurementsOf(results)),
    ...curvePart(results.curves),
    ...failurePart(results),
  ].join('\n\n');
}

function introduction({ machine, commit, quick, seconds, startedAt }: Results): string {
  const run = quick ? 'A quick run (fewer and shorter rounds)' : 'A full run';
  return [
    `${run} of ${Math.round(seconds / 60)} minutes, ${startedAt.slice(0, 10)}, at commit \`${commit ?? 'unknown'}\`, by \`npm run bench\`.`,
    `Machine: ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.platform}, Node ${machine.node}.`,
    '',
    'A ratio is ours to theirs, the median of pairs that ran one after the other; ± is half the spread of the middle half. ' +
      'Absolute figures tell about the machine. Figures as JSON: [results.json](results.json).',
  ].join('\n');
}

function shortLines(rows: readonly TargetResult[]): string[] {
  const short = rows.filter(({ status }) => status === 'short');
  if (short.length === 0) return [];
  const lines = short.map(({ id, suite, name, ratio, target }) => {
    const why = explanations[id] ?? 'No profile has been read for it yet.';
    return `- **${suite}: ${name}**: ${shortNumber(ratio ?? Number.NaN)} x, wanted ${target}. ${why}`;
  });
  return ['## Short of the target', lines.join('\n')];
}

function targetsTable(rows: readonly TargetResult[]): string {
  const lines = rows.map(({ status, suite, name, peer, target, ratio }) => [
    status === 'short' ? '**short**' : status,
    suite,
    name,
    peer,
    ratio === null ? '' : `${shortNumber(ratio)} x`,
    target,
  ]);
  return table(['', 'Suite', 'Work', 'Peer or limit', 'Seen', 'Target'], lines);
}

function measurementsTable(rows: readonly Row[]): string {
  const lines = rows.map((row) => [
    verdictOf(row),
    row.suite,
    row.name,
    quantity(row.ours, row.unit),
    row.peer,
    quantity(row.theirs, row.unit),
    `${shortNumber(row.ratio)} ± ${shortNumber(row.ratioSpread)}`,
    renderTarget(row.target),
    row.details === undefined ? '' : renderDetails(row.details),
  ]);
  const head = ['', 'Suite', 'Work', 'Ours', 'Peer', 'Theirs', 'Ratio', 'Target', 'Besides'];
  return table(head, lines);
}

function curvePart(curves: readonly Curve[]): string[] {
  if (curves.length === 0) return [];
  return ['## Curves', ...curves.map((curve) => `![${curve.name}](${fileOf(curve)})`)];
}

function failurePart({ failures }: Results): string[] {
  if (failures.length === 0) return [];
  const lines = failures.map(({ scenario, message }) => `- \`${scenario}\`: ${message}`);
  return ['## Scenarios that failed', lines.join('\n')];
}

function table(head: readonly string[], lines: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...lines.map(line)].join('\n');
}
