import { metrics } from '@opentelemetry/api';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { MoveStatus, RebalanceStatus } from './status.js';
import { watchMoves } from './watch-moves.js';

let exported: InMemoryMetricExporter;
let reader: PeriodicExportingMetricReader;

beforeEach(() => {
  exported = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  reader = new PeriodicExportingMetricReader({
    exporter: exported,
    exportIntervalMillis: 3_600_000,
  });
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
});
afterEach(async () => {
  await reader.shutdown();
  metrics.disable();
});

async function collect() {
  await reader.forceFlush();
  const all =
    exported
      .getMetrics()
      .at(-1)
      ?.scopeMetrics.flatMap((scope) => scope.metrics) ?? [];
  return new Map(all.map((each) => [each.descriptor.name, each.dataPoints] as const));
}

const moveOf = (changes: Partial<MoveStatus>): MoveStatus => ({
  id: 'm1',
  planId: 'p1',
  keyspace: 'users',
  source: 'one',
  destination: 'two',
  slots: [1],
  state: 'copying',
  mayAbort: true,
  rollbackUntilMs: undefined,
  generation: 1,
  holder: undefined,
  holderLeaseLeftMs: undefined,
  steering: { isPaused: false, isCutOverHeld: false, bytesPerSecond: undefined },
  progress: {
    copiedBytes: 10,
    totalBytes: 20,
    copiedRows: 1,
    totalRows: 2,
    isEstimated: true,
    secondsLeft: undefined,
    lagBytes: undefined,
  },
  waitingFor: undefined,
  pauseMs: undefined,
  verifiedAtMs: undefined,
  slotBytes: 1000,
  lastError: undefined,
  startedAtMs: Date.now(),
  stateSinceMs: Date.now() - 60_000,
  ...changes,
});

const statusOf = (active: readonly MoveStatus[]): RebalanceStatus => ({
  epoch: 1,
  revision: 1,
  shards: [],
  routers: [],
  active,
  recent: [],
});

test('a move is exported while it lasts, and what is not known of it is left out', async () => {
  await using watch = watchMoves({ status: () => Promise.resolve(statusOf([moveOf({})])) });
  await watch.look();
  const found = await collect();
  expect(found.get('shardline.rebalance.slot_bytes')?.[0]).toMatchObject({
    value: 1000,
    attributes: { 'shardline.move.source': 'one', 'shardline.move.destination': 'two' },
  });
  expect(found.get('shardline.rebalance.is_unattended')?.[0]?.value).toBe(1);
  expect(found.get('shardline.rebalance.state_age')?.[0]?.value).toBeGreaterThanOrEqual(60);
  expect(found.get('shardline.rebalance.lag_bytes')?.length ?? 0).toBe(0);
});

test('what is over counts as nothing, instead of standing at its last value for ever', async () => {
  let active = [moveOf({})];
  await using watch = watchMoves({ status: () => Promise.resolve(statusOf(active)) });
  await watch.look();
  await collect();
  active = [moveOf({ state: 'catching_up' })];
  await watch.look();
  const later = await collect();
  const ages = later
    .get('shardline.rebalance.state_age')
    ?.map(({ attributes, value }) => [attributes['shardline.move.state'], (value as number) > 0]);
  expect(ages).toEqual(
    expect.arrayContaining([
      ['copying', false],
      ['catching_up', true],
    ]),
  );
  active = [];
  await watch.look();
  const after = await collect();
  expect(after.get('shardline.rebalance.active_moves')?.[0]?.value).toBe(0);
  expect(after.get('shardline.rebalance.slot_bytes')?.[0]?.value).toBe(0);
  expect(after.get('shardline.rebalance.state_age')?.map(({ value }) => value)).toEqual([0, 0]);
});

test('a look that fails is counted and leaves what was seen before', async () => {
  let isAway = false;
  const status = () =>
    isAway ? Promise.reject(new Error('away')) : Promise.resolve(statusOf([moveOf({})]));
  await using watch = watchMoves({ status });
  await watch.look();
  isAway = true;
  await watch.look();
  const found = await collect();
  expect(found.get('shardline.rebalance.watch_failures')?.[0]?.value).toBe(1);
  expect(found.get('shardline.rebalance.slot_bytes')?.[0]?.value).toBe(1000);
});
