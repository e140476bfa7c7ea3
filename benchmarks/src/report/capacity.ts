import {
  assumptionsOf,
  DEFAULT_HARDWARE,
  DEFAULT_LOAD,
  type Fleet,
  fleetFor,
  formatBytes,
  measuredFrom,
} from '@shardline/cli';
import Table from 'cli-table3';

const USERS = [10_000, 100_000, 1_000_000, 10_000_000] as const;

const LINES: readonly (readonly [string, (fleet: Fleet) => string])[] = [
  ['requests/s at the peak', ({ peakRequestsPerSecond }) => round(peakRequestsPerSecond)],
  ['cache lookups/s', ({ peakLookupsPerSecond }) => round(peakLookupsPerSecond)],
  ['database statements/s', ({ peakStatementsPerSecond }) => round(peakStatementsPerSecond)],
  ['data in the database', (fleet) => formatBytes(fleet.databaseBytes)],
  ['processes', ({ processes }) => round(processes)],
  ['shards', ({ shards }) => round(shards)],
  ['shards bound by', ({ shardsBoundBy }) => shardsBoundBy],
  ['database servers', ({ databaseServers }) => round(databaseServers)],
  ['Redis nodes', ({ redisNodes }) => round(redisNodes)],
  ['Memcached nodes', ({ memcachedNodes }) => round(memcachedNodes)],
];

/** How large a fleet each number of users takes, and everything that it rests on. */
export function renderCapacity(results: unknown): string {
  const measured = measuredFrom(results);
  const fleets = USERS.map((users) => fleetFor({ ...DEFAULT_LOAD, users }, measured));
  const table = new Table({
    head: ['', ...USERS.map((users) => `${round(users)} users`)],
    style: { head: [], border: [] },
  });
  for (const [name, show] of LINES) table.push([name, ...fleets.map(show)]);
  const assumptions = assumptionsOf(DEFAULT_LOAD, measured, DEFAULT_HARDWARE);
  return `${table}\n\nThis rests on:\n${assumptions.map((text) => `- ${text}`).join('\n')}`;
}

function round(value: number): string {
  return Math.round(value).toLocaleString('en');
}
