import Table from 'cli-table3';
import type { Finding } from './stage.js';

/** What the demo saw, for people as a table and for programs as JSON. */
export interface DemoReport {
  readonly startedAt: string;
  readonly tookMs: number;
  readonly acts: readonly { readonly name: string; readonly tookMs: number }[];
  readonly findings: readonly Finding[];
  /** Whether everything that is promised held. */
  readonly kept: boolean;
}

/** Whether a finding breaks a promise; a figure that was not reached does not. */
export const isBroken = ({ of, holds }: Finding) => of !== 'target' && !holds;

/** The report as text for a terminal. */
export function renderReport({ findings, tookMs, kept }: DemoReport): string {
  const table = new Table({
    head: ['', 'What must hold', 'Seen', ''],
    style: { head: [], border: [] },
    colWidths: [8, 44, 52, 10],
    wordWrap: true,
  });
  const order = (finding: Finding) => (finding.of === 'target' ? 'T' : finding.of);
  const sorted = [...findings].sort((a, b) => order(a).localeCompare(order(b)));
  for (const finding of sorted) {
    table.push([finding.of, finding.what, finding.seen, verdictOn(finding)]);
  }
  const summary = kept
    ? 'Every promise was kept.'
    : `${findings.filter(isBroken).length} promises were BROKEN.`;
  return `${table.toString()}\n\n${summary} ${(tookMs / 1000).toFixed(0)} seconds.`;
}

function verdictOn({ of, holds }: Finding): string {
  if (of === 'target') return holds ? 'met' : 'not met';
  return holds ? 'kept' : 'BROKEN';
}
