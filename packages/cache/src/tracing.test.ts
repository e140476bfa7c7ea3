import { trace } from '@opentelemetry/api';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { ManualClock } from '@shardline/core';
import { afterAll, expect, it } from 'vitest';
import { createCache } from './index.js';

const exporter = new InMemorySpanExporter();
afterAll(() => trace.disable());

it('loads, refreshes and invalidations are spans once somebody listens, without keys', async () => {
  const clock = new ManualClock();
  const cache = createCache({ clock });
  let fails = false;
  const things = cache.namespace<string>('things', {
    ttl: '1s',
    jitter: 0,
    staleWhileRevalidate: '1h',
    load: async (key) => {
      if (fails) throw new Error('down');
      return key;
    },
  });
  await things.get('before');
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  trace.setGlobalTracerProvider(provider);
  await things.get('person-42');
  await clock.advance(1500);
  fails = true;
  await things.get('person-42');
  await clock.advance(10);
  await things.invalidate('person-42');
  const spans = exporter.getFinishedSpans();
  expect(spans.map(({ name }) => name)).toEqual([
    'cache load things',
    'cache load things',
    'cache refresh things',
    'cache invalidate things',
  ]);
  expect(spans.map(({ status }) => status.code)).toEqual([0, 2, 2, 0]);
  expect(JSON.stringify(spans.map(({ name, attributes }) => [name, attributes]))).not.toContain(
    '42',
  );
  await cache.close();
});
