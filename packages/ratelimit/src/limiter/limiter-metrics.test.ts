import { metrics } from '@opentelemetry/api';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { afterEach, expect, test } from 'vitest';
import { createLimiter } from './limiter.js';

afterEach(() => metrics.disable());

test('decisions are counted by policy and tier, never by subject', async () => {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter });
  const provider = new MeterProvider({ readers: [reader] });
  metrics.setGlobalMeterProvider(provider);
  await using limiter = createLimiter({
    memory: true,
    policies: {
      api: { tiers: { free: { limit: 10, window: '1h' } } },
      trial: { limit: 2, window: '1h', shadow: true },
    },
    defaultTier: 'free',
  });
  for (let index = 0; index < 14; index += 1) await limiter.check('user:secret');
  await reader.forceFlush();
  const seen = new Map<string, number>();
  let text = '';
  for (const { scopeMetrics } of exporter.getMetrics()) {
    for (const metric of scopeMetrics.flatMap((scope) => scope.metrics)) {
      for (const point of metric.dataPoints) {
        const labels = Object.values(point.attributes).join(' ');
        seen.set(`${metric.descriptor.name} ${labels}`.trim(), point.value as number);
        text += JSON.stringify(point.attributes);
      }
    }
  }
  expect(seen.get('shardline.ratelimit.decisions api free allowed')).toBe(10);
  expect(seen.get('shardline.ratelimit.decisions api free denied')).toBe(4);
  expect(seen.get('shardline.ratelimit.near_limit api free')).toBe(2);
  expect(seen.get('shardline.ratelimit.shadow_denied trial')).toBe(12);
  expect(text).not.toContain('secret');
  await provider.shutdown();
});
