import Table from 'cli-table3';
import type { LoadResult } from './load.js';

/** What the demo saw, for people as tables and for programs as JSON. */
export interface DemoReport {
  readonly users: number;
  readonly rowsPerShard: Readonly<Record<string, { users: number; bets: number }>>;
  readonly betsAcknowledged: number;
  readonly hitRate: {
    readonly l1: number;
    readonly l2: number;
    readonly l3: number;
    readonly all: number;
  };
  readonly load: LoadResult;
  /** What must hold, and whether it did. */
  readonly checks: readonly {
    readonly what: string;
    readonly seen: string;
    readonly holds: boolean;
  }[];
}

/** The report as text for a terminal. */
export function renderReport(report: DemoReport): string {
  const shards = table(
    ['Shard', 'Users', 'Bets'],
    Object.entries(report.rowsPerShard).map(([name, { users, bets }]) => [
      name,
      count(users),
      count(bets),
    ]),
  );
  const traffic = table(
    ['Requests', 'Admitted', 'Limited', 'Failed', 'Per second', 'p50', 'p95', 'p99'],
    [
      [
        count(report.load.requests),
        count(report.load.ok),
        count(report.load.limited),
        count(report.load.failed),
        count((1000 * report.load.requests) / report.load.durationMs),
        milliseconds(report.load.p50Ms),
        milliseconds(report.load.p95Ms),
        milliseconds(report.load.p99Ms),
      ],
    ],
  );
  const { l1, l2, l3, all } = report.hitRate;
  const cache = table(
    ['L1 process', 'L2 Redis', 'L3 Memcached', 'Any tier'],
    [[percent(l1), percent(l2), percent(l3), percent(all)]],
  );
  const checks = table(
    ['What must hold', 'Seen', ''],
    report.checks.map(({ what, seen, holds }) => [what, seen, holds ? 'holds' : 'BROKEN']),
  );
  return [shards, traffic, `Cache hits, as a share of lookups:\n${cache}`, checks].join('\n\n');
}

function table(head: string[], rows: string[][]): string {
  const rendered = new Table({ head, style: { head: [], border: [] } });
  rendered.push(...rows);
  return rendered.toString();
}

const count = (value: number) => Math.round(value).toLocaleString('en');
const milliseconds = (value: number) => `${value.toFixed(1)} ms`;
const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
