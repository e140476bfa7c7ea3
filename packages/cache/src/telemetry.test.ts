import { metrics } from '@opentelemetry/api';
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import { ManualClock } from '@shardline/core';
import { afterAll, expect, it } from 'vitest';
import { createCache } from './index.js';

class Reader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}
}

afterAll(() => metrics.disable());

it('hits, backlog, warming and edges are metrics, with their current values', async () => {
  const reader = new Reader();
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
  const purger = { name: 'cdn', maxTargets: 10, purge: async () => {} };
  const cache = createCache({ clock: new ManualClock(), edge: [purger] });
  const things = cache.namespace<string>('things', {
    ttl: '1h',
    load: (key) => key,
    write: 'behind',
    writeBehind: { onUnwritten: () => {}, storeMany: () => {} },
  });
  await things.get('a');
  await things.get('a');
  await things.set('b', 'b');
  await things.invalidate('c');
  const { resourceMetrics } = await reader.collect();
  const values = new Map(
    resourceMetrics.scopeMetrics.flatMap((scope) =>
      scope.metrics.map(({ descriptor, dataPoints }) => [descriptor.name, dataPoints[0]?.value]),
    ),
  );
  expect(Object.fromEntries(values)).toMatchObject({
    'shardline.cache.hits.l1': 1,
    'shardline.cache.loads': 1,
    'shardline.cache.write_behind.backlog': 1,
    'shardline.cache.edge.pending': 1,
    'shardline.cache.edge.failures': 0,
    'shardline.cache.warming.queued': 0,
    'shardline.cache.inconsistencies': 0,
    'shardline.cache.pending_invalidations': 0,
  });
  await cache.close();
});
