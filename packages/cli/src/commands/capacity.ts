import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { ShardlineError } from '@shardline/core';
import { type Command, InvalidArgumentError } from 'commander';
import { type Bind, examples } from '../bind.js';
import {
  assumptionsOf,
  DEFAULT_HARDWARE,
  DEFAULT_LOAD,
  type Fleet,
  fleetFor,
  formatBytes,
  type Load,
  measuredFrom,
} from '../capacity/index.js';
import { cliErrors } from '../errors.js';
import type { Style } from '../output/style.js';
import { renderTable } from '../output/table.js';
import { formatCount } from '../output/units.js';

interface CapacityOptions {
  readonly users?: number;
  readonly requests: number;
  readonly readShare: number;
  readonly bytes: number;
  readonly growth: number;
  readonly years: number;
  readonly results?: string;
}

/** Shown side by side when nobody says how many users there are. */
const USERS = [10_000, 100_000, 1_000_000, 10_000_000] as const;

const LINES: readonly (readonly [string, (fleet: Fleet) => string])[] = [
  ['requests/s at the peak', ({ peakRequestsPerSecond }) => rounded(peakRequestsPerSecond)],
  ['statements/s at the peak', ({ peakStatementsPerSecond }) => rounded(peakStatementsPerSecond)],
  ['data', ({ databaseBytes }) => formatBytes(databaseBytes)],
  ['processes', ({ processes }) => rounded(processes)],
  ['shards', ({ shards, shardsBoundBy }) => `${rounded(shards)} (${shardsBoundBy})`],
  ['database servers', ({ databaseServers }) => rounded(databaseServers)],
  ['Redis nodes', ({ redisNodes }) => rounded(redisNodes)],
  ['Memcached nodes', ({ memcachedNodes }) => rounded(memcachedNodes)],
];

/** `shardline capacity`. */
export function addCapacity(program: Command, bind: Bind): void {
  program
    .command('capacity')
    .description('How large a fleet a load takes: an extrapolation, with everything it rests on.')
    .option('--users <count>', 'registered users (default: four sizes side by side)', amount)
    .option('--requests <count>', 'of a user and day', amount, DEFAULT_LOAD.requestsPerUserPerDay)
    .option('--read-share <share>', '0 to 1', share, DEFAULT_LOAD.readShare)
    .option('--bytes <count>', 'in the database per user', amount, DEFAULT_LOAD.bytesPerUser)
    .option('--growth <share>', 'per year: 0.5 is half more', amount, DEFAULT_LOAD.growthPerYear)
    .option('--years <count>', 'for which the fleet must do', amount, DEFAULT_LOAD.years)
    .option(
      '--results <file>',
      'figures of `npm run bench -- --json FILE`, instead of assumed ones',
    )
    .addHelpText(
      'after',
      examples('capacity', 'capacity --users 2000000 --requests 50 --read-share 0.95'),
    )
    .action(
      bind(async (session, options: CapacityOptions) => {
        const measured = measuredFrom(readResults(session.host.folder, options.results));
        const loads = (options.users === undefined ? USERS : [options.users]).map((users) =>
          loadOf(options, users),
        );
        const fleets = loads.map((load) => ({ load, fleet: fleetFor(load, measured) }));
        const assumptions = assumptionsOf(loads[0] as Load, measured, DEFAULT_HARDWARE);
        return {
          kind: 'capacity',
          data: { fleets, assumptions },
          text: (style) => `${renderFleets(fleets, style)}\n\n${renderAssumptions(assumptions)}`,
          next: ['shardline distribution', 'shardline plan --check'],
        };
      }),
    );
}

function loadOf(options: CapacityOptions, users: number): Load {
  return {
    ...DEFAULT_LOAD,
    users,
    requestsPerUserPerDay: options.requests,
    readShare: options.readShare,
    bytesPerUser: options.bytes,
    growthPerYear: options.growth,
    years: options.years,
  };
}

function renderFleets(fleets: readonly { load: Load; fleet: Fleet }[], style: Style): string {
  return renderTable(
    [
      { title: 'Users' },
      ...fleets.map(({ load }) => ({ title: formatCount(load.users), align: 'right' as const })),
    ],
    LINES.map(([name, show]) => [name, ...fleets.map(({ fleet }) => show(fleet))]),
    style,
  );
}

function renderAssumptions(assumptions: readonly string[]): string {
  return ['This rests on:', ...assumptions.map((text) => `- ${text}`)].join('\n');
}

function readResults(folder: string, file: string | undefined): unknown {
  if (file === undefined) return undefined;
  const path = resolve(folder, file);
  try {
    if (existsSync(path)) return JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new ShardlineError(cliErrors.CLI_USAGE, `${path} is no JSON.`, { cause });
  }
  throw new ShardlineError(cliErrors.CLI_USAGE, `There is no file ${path}.`, {
    remedy: 'Make one with `npm run bench -- --json FILE`, or leave `--results` out.',
  });
}

function amount(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value) && value >= 0) return value;
  throw new InvalidArgumentError('It must be a number, zero or more.');
}

function share(text: string): number {
  const value = amount(text);
  if (value <= 1) return value;
  throw new InvalidArgumentError('It must be a number from 0 to 1.');
}

function rounded(value: number): string {
  return formatCount(Math.round(value));
}
