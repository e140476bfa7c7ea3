import type { Finding } from '@shardline/shard-router/rebalance';
import type { Style } from './style.js';
import { indent } from './table.js';
import { plural } from './units.js';

const ORDER = { blocker: 0, warning: 1, note: 2 } as const;

/** The worst first; within one severity by shard and code, so that two runs compare. */
export function sortFindings(findings: readonly Finding[]): Finding[] {
  return [...findings].sort(
    (a, b) =>
      ORDER[a.severity] - ORDER[b.severity] ||
      compare(a.shard, b.shard) ||
      compare(a.code, b.code) ||
      compare(a.subject, b.subject),
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Findings with what mends each. */
export function findingsText(findings: readonly Finding[], style: Style): string {
  return sortFindings(findings)
    .map((finding) => findingText(finding, style))
    .join('\n');
}

function findingText(finding: Finding, style: Style): string {
  const { code, severity, shard, subject, message, remedy, sql } = finding;
  const mark = {
    blocker: style.red('blocker'),
    warning: style.yellow('warning'),
    note: style.dim('note   '),
  }[severity];
  const lines = [
    `${mark}  ${style.bold(code)}  ${shard}: ${subject}`,
    indent(message, 9),
    indent(`→ ${remedy}`, 9),
  ];
  if (sql !== undefined) lines.push(indent(style.cyan(sql), 11));
  return lines.join('\n');
}

/** `2 blockers, 1 warning`. */
export function countFindings(findings: readonly Finding[]): string {
  const count = (severity: Finding['severity']) =>
    findings.filter((finding) => finding.severity === severity).length;
  return (['blocker', 'warning', 'note'] as const)
    .map((severity) => [count(severity), severity] as const)
    .filter(([number]) => number > 0)
    .map(([number, severity]) => plural(number, severity))
    .join(', ');
}

/** Whether a move must not begin. */
export function hasBlockers(findings: readonly Finding[]): boolean {
  return findings.some(({ severity }) => severity === 'blocker');
}
