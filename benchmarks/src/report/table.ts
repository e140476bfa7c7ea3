import Table from 'cli-table3';
import type { Row, Target } from '../scenario.js';

/** The rows as a table for a terminal; those that fall short come first. */
export function renderRows(rows: readonly Row[]): string {
  const table = new Table({
    head: ['', 'suite', 'work', 'ours', 'peer', 'theirs', 'ratio', 'target'],
    style: { head: [], border: [] },
  });
  for (const row of [...rows].sort((a, b) => Number(a.met) - Number(b.met))) {
    table.push([
      row.met ? 'met' : 'SHORT',
      row.suite,
      row.name,
      quantity(row.ours, row.unit),
      row.peer,
      quantity(row.theirs, row.unit),
      `${ratio(row.ratio)} ± ${ratio(row.ratioSpread)}`,
      renderTarget(row.target),
    ]);
  }
  return table.toString();
}

/** `<= 2 x` */
export function renderTarget({ relation, ratio: wanted }: Target): string {
  const sign = { 'at most': '<=', 'at least': '>=', exactly: '=' }[relation];
  return `${sign} ${wanted} x`;
}

/** `p99, ms: 3.2; dials: 0` */
export function renderDetails(details: NonNullable<Row['details']>): string {
  return Object.entries(details)
    .map(([name, value]) => `${name}: ${typeof value === 'number' ? ratio(value) : value}`)
    .join('; ');
}

function ratio(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function quantity(value: number, unit: string): string {
  const digits = value >= 1000 ? 0 : value >= 10 ? 1 : 3;
  return `${value.toLocaleString('en', { maximumFractionDigits: digits })} ${unit}`;
}
