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
import { type PostgresServer, startPostgres } from '@shardline/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ReplicaPool } from './index.js';

/** A real SDK listens to a real pool. */
const exported = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
const reader = new PeriodicExportingMetricReader({
  exporter: exported,
  exportIntervalMillis: 3_600_000,
});
const spans = new InMemorySpanExporter();
let primary: PostgresServer;
let replica: PostgresServer;
let pool: ReplicaPool;

beforeAll(async () => {
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
  trace.setGlobalTracerProvider(
    new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }),
  );
  primary = await startPostgres({ name: 'telemetry' });
  replica = await primary.addReplica();
  await primary.query('CREATE TABLE bet (id int)');
  await primary.waitForReplica(replica);
  pool = new ReplicaPool({
    primary: { connectionString: primary.url, name: 'db-1' },
    replicas: [{ connectionString: replica.url, name: 'db-2' }],
  });
  await pool.ready();
});
afterAll(async () => {
  await pool?.close();
  await replica?.stop();
  await primary?.stop();
  metrics.disable();
  trace.disable();
});

async function collect(): Promise<Map<string, { value: unknown; attributes: object }[]>> {
  await reader.forceFlush();
  const found = new Map<string, { value: unknown; attributes: object }[]>();
  // What else is measured in this process has a scope of its own.
  const scopes = exported.getMetrics().at(-1)?.scopeMetrics ?? [];
  const ours = scopes.find(({ scope }) => scope.name === '@shardline/pool');
  for (const { descriptor, dataPoints } of ours?.metrics ?? []) {
    found.set(
      descriptor.name,
      dataPoints.map(({ value, attributes }) => ({ value, attributes })),
    );
  }
  return found;
}

test('metrics follow the conventions for connection pools, one series per server', async () => {
  await pool.query('SELECT 1');
  await pool.runInSession(undefined, () => pool.query('SELECT 1'));
  await pool.query('INSERT INTO bet VALUES (1)');
  const found = await collect();
  const idle = found
    .get('db.client.connection.count')
    ?.filter(
      ({ attributes }) =>
        'idle' === (attributes as Record<string, string>)['db.client.connection.state'],
    );
  expect(idle?.map(({ value }) => value)).toEqual([1, 1]);
  expect(found.get('db.client.connection.max')?.map(({ value }) => value)).toEqual([10, 10]);
  expect(found.has('db.client.connection.pending_requests')).toBe(true);
  expect(found.has('db.client.connection.create_time')).toBe(true);
  expect(found.get('shardline.pool.is_primary')).toEqual([
    { value: 1, attributes: { 'db.client.connection.pool.name': 'db-1' } },
    { value: 0, attributes: { 'db.client.connection.pool.name': 'db-2' } },
  ]);
  expect(found.get('shardline.pool.replica.lag')?.length).toBe(2);
  expect(found.get('shardline.pool.session_reads')).toEqual([
    { value: 1, attributes: { 'shardline.pool.role': 'replica' } },
  ]);
  const routes = found.get('shardline.pool.routes')?.map(({ attributes }) => attributes);
  expect(routes).toContainEqual(
    expect.objectContaining({
      'db.client.connection.pool.name': 'db-2',
      'shardline.pool.role': 'replica',
    }),
  );
});

test('how long callers wait for a connection and hold one is measured', async () => {
  await using narrow = new ReplicaPool({
    primary: { connectionString: primary.url, name: 'narrow' },
    max: 1,
  });
  const client = await narrow.connect();
  const waiting = narrow.query('SELECT 1');
  expect(narrow.waitingCount).toBe(1);
  client.release();
  await waiting;
  const found = await collect();
  const of = (what: string) =>
    found
      .get(`db.client.connection.${what}`)
      ?.filter((point) => JSON.stringify(point.attributes).includes('narrow'))
      .map(({ value }) => value as { count: number; sum: number });
  for (const what of ['wait_time', 'use_time']) {
    expect(of(what)).toEqual([expect.objectContaining({ count: 2 })]);
    expect(of(what)?.[0]?.sum).toBeGreaterThan(0);
  }
  expect(of('idle.max')).toEqual([1]);
});

test('what goes wrong with connections is counted for the server that it went wrong with', async () => {
  await using narrow = new ReplicaPool({
    primary: { connectionString: primary.url, name: 'crowded' },
    replicas: [{ connectionString: replica.url, name: 'quiet' }],
    max: 1,
    // Long enough for a slow machine to give a connection that is there, and to make one.
    acquireTimeout: '2s',
    dialTimeout: '10s',
    failoverTimeout: '30s',
    leakReportAfter: '20ms',
  });
  await narrow.ready();
  const client = await narrow.connect();
  // A BEGIN by itself goes to no server yet.
  await client.query('BEGIN');
  await client.query('INSERT INTO bet VALUES (5)');
  const insert = narrow.query('INSERT INTO bet VALUES (3)');
  await expect(insert).rejects.toMatchObject({ code: 'POOL_ACQUIRE_TIMEOUT' });
  client.release();
  await narrow.query('INSERT INTO bet VALUES (4)');
  const found = await collect();
  for (const name of [
    'db.client.connection.timeouts',
    'shardline.pool.leaks',
    'shardline.pool.left_in_transaction',
  ]) {
    const points = found
      .get(name)
      ?.map(({ value, attributes }) => [
        (attributes as Record<string, string>)['db.client.connection.pool.name'],
        value,
      ]);
    // Those at zero are there too: a counter that first appears at one looks as if it had never risen.
    expect(points, name).toEqual(
      expect.arrayContaining([
        ['crowded', 1],
        ['quiet', 0],
      ]),
    );
  }
});

test('spans say where a statement went and why, and carry no values', async () => {
  spans.reset();
  await pool.query('SELECT $1::text AS secret', ['hunter2']);
  const client = await pool.connect();
  await client.query('INSERT INTO bet VALUES ($1)', [2]);
  client.release();
  await expect(pool.query('SELECT nothing')).rejects.toThrow();
  const seen = spans.getFinishedSpans();
  expect(seen.map(({ name }) => name)).toEqual(['SELECT', 'INSERT', 'SELECT']);
  expect(seen[0]?.attributes).toMatchObject({
    'db.system.name': 'postgresql',
    'shardline.pool.node': 'db-2',
    'shardline.pool.role': 'replica',
  });
  expect(seen[1]?.attributes).toMatchObject({ 'shardline.pool.node': 'db-1' });
  expect(seen[2]?.status.code).toBe(2);
  expect(
    JSON.stringify(seen.map(({ attributes, events }) => ({ attributes, events }))),
  ).not.toContain('hunter2');
});
