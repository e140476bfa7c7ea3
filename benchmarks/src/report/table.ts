import Table from 'cli-table3';
import type { Row, Target } from '../scenario.js';
import { explanations } from './explanations.js';
import { measurementsOf, type Results } from './results.js';

/**
 * The results as a table for a terminal: what falls short first, then what was met, then what else was measured, and
 * last, where all was asked for, the lines of the targets that were not run.
 */
export function renderResults(
  results: Pick<Results, 'rows' | 'others'>,
  { showsNotRun }: { readonly showsNotRun: boolean },
): string {
  const table = new Table({
    head: ['', 'suite', 'work', 'ours', 'peer', 'theirs', 'ratio', 'target'],
    style: { head: [], border: [] },
    wordWrap: true,
    colWidths: [null, null, 44, null, 34, null, null, null],
  });
  for (const row of inOrder(measurementsOf(results))) {
    table.push([
      verdictOf(row),
      row.suite,
      row.name,
      quantity(row.ours, row.unit),
      row.peer,
      quantity(row.theirs, row.unit),
      `${shortNumber(row.ratio)} ± ${shortNumber(row.ratioSpread)}`,
      renderTarget(row.target),
    ]);
  }
  for (const { suite, name, peer, target, status } of results.rows) {
    if (showsNotRun && status === 'not run')
      table.push(['not run', suite, name, '', peer, '', '', target]);
  }
  return table.toString();
}

/** Of each line that fell short, why, as a profile showed it. */
export function renderShortfalls({ rows }: Pick<Results, 'rows'>): string[] {
  return rows
    .filter(({ status }) => status === 'short')
    .map(({ suite, id, name }) => {
      const why =
        explanations[id] ?? 'No profile has been read for it yet: npm run profile -- SCENARIO.';
      return `SHORT ${suite}: ${name}\n      ${why}`;
    });
}

/** What a reader must see first stands first. */
function inOrder(rows: readonly Row[]): Row[] {
  const rank = (row: Row) => (row.met ? 2 : row.answers === undefined ? 1 : 0);
  return [...rows].sort((a, b) => rank(a) - rank(b));
}

/** Rows that answer no line of the targets have an aim of the runner's own, and break no promise. */
export function verdictOf({ met, answers }: Row): string {
  if (met) return answers === undefined ? 'ok' : 'met';
  return answers === undefined ? 'below' : 'SHORT';
}

/** `<= 2 x` */
export function renderTarget({ relation, ratio: wanted }: Target): string {
  const sign = { 'at most': '<=', 'at least': '>=', exactly: '=' }[relation];
  return `${sign} ${wanted} x`;
}

/** `p99, ms: 3.2; dials: 0` */
export function renderDetails(details: NonNullable<Row['details']>): string {
  return Object.entries(details)
    .map(([name, value]) => `${name}: ${typeof value === 'number' ? shortNumber(value) : value}`)
    .join('; ');
}

/** Three digits that count. */
export function shortNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (Number.isInteger(value)) return value.toLocaleString('en');
  return Math.abs(value) >= 100
    ? value.toLocaleString('en', { maximumFractionDigits: 0 })
    : String(Number(value.toPrecision(3)));
}

export function quantity(value: number, unit: string): string {
  return `${shortNumber(value)} ${unit}`;
}
