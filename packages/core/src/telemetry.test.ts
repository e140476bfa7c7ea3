import { metrics, trace } from '@opentelemetry/api';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { afterEach, describe, expect, test } from 'vitest';
import { Telemetry } from './telemetry.js';

afterEach(() => {
  metrics.disable();
  trace.disable();
});

function startMetrics() {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
  const provider = new MeterProvider({ readers: [reader] });
  metrics.setGlobalMeterProvider(provider);
  return async () => {
    exporter.reset();
    await provider.forceFlush();
    const batches = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics);
    return batches.flatMap((batch) => batch.metrics);
  };
}

const options = (counter: { value: number }) => ({
  scope: '@shardline/test',
  version: '1.0.0',
  observed: [
    {
      name: 'shardline.test.count',
      kind: 'counter' as const,
      unit: '{thing}',
      description: 'Things counted.',
      observe: (report: (value: number) => void) => report(counter.value),
    },
  ],
  recorded: [{ name: 'shardline.test.wait', unit: 's', description: 'Waits.' }],
});

describe('Telemetry', () => {
  test('with nobody listening it says so, and recording is harmless', () => {
    const telemetry = new Telemetry(options({ value: 1 }));
    expect([telemetry.isMeasuring, telemetry.isTracing]).toEqual([false, false]);
    telemetry.record('shardline.test.wait', 1);
    telemetry.close();
  });

  test('counts kept in plain fields are read when metrics are collected', async () => {
    const collect = startMetrics();
    const counter = { value: 41 };
    const telemetry = new Telemetry(options(counter));
    expect(telemetry.isMeasuring).toBe(true);
    counter.value += 1;
    telemetry.record('shardline.test.wait', 0.25);
    const collected = await collect();
    const byName = new Map(collected.map((metric) => [metric.descriptor.name, metric]));
    expect(byName.get('shardline.test.count')?.dataPoints[0]?.value).toBe(42);
    expect(byName.get('shardline.test.wait')?.dataPoints[0]?.value).toMatchObject({ sum: 0.25 });
    telemetry.close();
  });

  test('an SDK registered afterwards is found by refresh', async () => {
    const counter = { value: 7 };
    const telemetry = new Telemetry(options(counter));
    const collect = startMetrics();
    telemetry.refresh();
    expect(telemetry.isMeasuring).toBe(true);
    expect((await collect())[0]?.dataPoints.map((point) => point.value)).toEqual([7]);
    telemetry.close();
  });

  test('after close nothing is reported any more', async () => {
    const collect = startMetrics();
    const telemetry = new Telemetry(options({ value: 1 }));
    telemetry.close();
    for (const metric of await collect()) expect(metric.dataPoints).toHaveLength(0);
  });

  test('a failed call leaves a span that says so', async () => {
    const exporter = new InMemorySpanExporter();
    trace.setGlobalTracerProvider(
      new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }),
    );
    const telemetry = new Telemetry(options({ value: 1 }));
    expect(telemetry.isTracing).toBe(true);
    const failing = telemetry.trace(
      'SELECT users',
      { 'db.system.name': 'postgresql' },
      async () => {
        throw new Error('gone');
      },
    );
    await expect(failing).rejects.toThrow('gone');
    const [span] = exporter.getFinishedSpans();
    expect(span).toMatchObject({
      name: 'SELECT users',
      attributes: { 'db.system.name': 'postgresql' },
      status: { message: 'gone' },
    });
    telemetry.close();
  });
});
