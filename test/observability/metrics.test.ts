import { existsSync, readFileSync } from 'node:fs';
import { metrics } from '@opentelemetry/api';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import type { ReplicaPool } from '@shardline/pool';
import { type MovesSource, type MoveWatch, watchMoves } from '@shardline/shard-router/rebalance';
import { startTopology, type Topology } from '@shardline/testkit';
import { createDataLayer, defineConfig, initialiseShards } from 'shardline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { type Exposition, readExposition } from './exposition.js';
import { readQuery } from './promql.js';

/**
 * Dashboard and alert rules against what a real layer exports: a metric or a label that nobody exports makes a
 * panel stay empty and an alert never fire, which looks like health.
 */

const FOLDER = new URL('../../docs/observability/', import.meta.url);
const read = (file: string) => readFileSync(new URL(file, FOLDER), 'utf8');

/** Labels that Prometheus itself adds. */
const SCRAPED = ['job', 'instance', 'le'];

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}
interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

const rules = (
  parse(read('alerts.yaml')) as { groups: { name: string; rules: Rule[] }[] }
).groups.flatMap((group) => group.rules);
const { panels } = JSON.parse(read('grafana/dashboards/shardline.json')) as { panels: Panel[] };

const queries = [
  ...rules.map(({ alert, expr, annotations }) => ({
    where: alert,
    expr,
    shown: [
      ...Object.values(annotations)
        .join(' ')
        .matchAll(/\$labels\.(\w+)/g),
    ],
  })),
  ...panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr, legendFormat }) => ({
      where: title,
      expr,
      shown: [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)],
    })),
  ),
].map(({ shown, ...query }) => ({ ...query, shown: shown.map(([, label]) => label as string) }));

let topology: Topology;
let exporter: PrometheusExporter;
let layer: Awaited<ReturnType<typeof createDataLayer>>;
let watch: MoveWatch;
let exported: Exposition;

beforeAll(async () => {
  exporter = new PrometheusExporter({ host: '127.0.0.1', port: 0 });
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [exporter] }));
  topology = await startTopology({
    shards: 1,
    replicasPerShard: 1,
    redis: 'standalone',
    memcached: 1,
  });
  const config = configOf(topology);
  await createTables(topology.shard(0));
  await initialiseShards(config);
  layer = await createDataLayer(config);
  watch = watchMoves(oneMove);
  await watch.look();
  await useEverything();
  exported = readExposition(await scrape());
});
afterAll(async () => {
  await watch?.close();
  await layer?.close();
  await topology?.stop();
  await exporter?.shutdown();
  metrics.disable();
});

function configOf({ shards, redis, memcached }: Topology) {
  const [{ primary, replicas }] = shards as [Topology['shards'][number]];
  return defineConfig({
    name: 'watched',
    catalog: primary.url,
    shards: { one: { primary: primary.url, replicas: replicas.map(({ url }) => url) } },
    keyspaces: { accounts: { keyType: 'bigint', slots: 16 } },
    redis: redis.url,
    memcached: memcached.map(({ address }) => address),
    entities: {
      accounts: {
        table: 'accounts',
        keyspace: 'accounts',
        key: 'account_id',
        cache: { ttl: '1h', tiers: ['l1', 'l2', 'l3'] },
      },
    },
    limits: { tiers: { free: { limit: 1, per: '1h' } } },
  });
}

/** A function that calls itself a read and is none: a replica refuses it, and the pool makes that good. */
async function createTables({ primary, replicas }: Topology['shards'][number]): Promise<void> {
  await primary.query('CREATE TABLE accounts (account_id bigint PRIMARY KEY)');
  await primary.query('CREATE SEQUENCE tally');
  await primary.query(
    `CREATE FUNCTION says_it_only_reads() RETURNS bigint STABLE LANGUAGE plpgsql
     AS $$BEGIN RETURN nextval('tally'); END$$`,
  );
  await Promise.all(replicas.map((replica) => primary.waitForReplica(replica)));
}

/** Some counters have no series before the first event that they count. */
async function useEverything(): Promise<void> {
  const accounts = layer.entities['accounts']!;
  const shard = layer.router.shard(1n) as ReplicaPool;
  await accounts.insert({ account_id: 1n });
  await accounts.get(1n);
  await layer.limits.check('account:1', { tier: 'free' });
  await layer.limits.check('account:1', { tier: 'free' });
  await shard.query('SELECT says_it_only_reads()');
  await shard.runInSession(undefined, () => shard.query('SELECT 1'));
  await expect(shard.query('SELECT nothing')).rejects.toMatchObject({ code: '42703' });
}

/** One move as `status` shows it: what is exported of it follows from this alone. */
const oneMove: MovesSource = {
  status: () =>
    Promise.resolve({
      epoch: 2,
      revision: 3,
      shards: [],
      routers: [],
      recent: [],
      active: [
        {
          id: 'm1',
          planId: 'p1',
          keyspace: 'accounts',
          source: 'one',
          destination: 'two',
          slots: [1, 2],
          state: 'copying',
          mayAbort: true,
          rollbackUntilMs: undefined,
          generation: 1,
          holder: 'mover',
          holderLeaseLeftMs: 9000,
          steering: { isPaused: false, isCutOverHeld: false, bytesPerSecond: undefined },
          progress: {
            copiedBytes: 10,
            totalBytes: 20,
            copiedRows: 1,
            totalRows: 2,
            isEstimated: true,
            secondsLeft: 5,
            lagBytes: 100,
          },
          waitingFor: undefined,
          pauseMs: undefined,
          verifiedAtMs: undefined,
          slotBytes: 1000,
          lastError: undefined,
          startedAtMs: Date.now(),
          stateSinceMs: Date.now(),
        },
      ],
    }),
};

function scrape(): Promise<string> {
  return new Promise((resolve, reject) => {
    exporter.getMetricsRequestHandler(
      {} as never,
      {
        setHeader: () => undefined,
        end: (body: string) =>
          body.startsWith('# failed') ? reject(new Error(body)) : resolve(body),
      } as never,
    );
  });
}

describe.each(queries)('$where: $expr', ({ expr, shown }) => {
  const { selectors, groupedBy, faults } = readQuery(expr);

  test('is PromQL', () => {
    expect(faults).toEqual([]);
    expect(selectors.length).toBeGreaterThan(0);
  });

  test('names metrics and labels that are exported', () => {
    const known = new Set(SCRAPED);
    for (const { metric, matchers } of selectors) {
      const series = exported.get(metric);
      expect(series, `${metric} is not exported`).toBeDefined();
      for (const labels of series ?? []) for (const label of Object.keys(labels)) known.add(label);
      for (const { label, operator, value } of matchers) {
        if (SCRAPED.includes(label)) continue;
        const values = (series ?? []).map((labels) => labels[label]);
        expect(
          values.filter((each) => each !== undefined).length,
          `no series of ${metric} has the label ${label}`,
        ).toBeGreaterThan(0);
        if (operator === '=') expect(values).toContain(value);
      }
    }
    expect([...groupedBy, ...shown].filter((label) => !known.has(label))).toEqual([]);
  });

  test('shows only labels that its grouping keeps', () => {
    const kept = [...groupedBy, ...SCRAPED];
    if (/\bby\b/.test(expr)) expect(shown.filter((label) => !kept.includes(label))).toEqual([]);
  });
});

describe('the files around them', () => {
  test('every alert says how bad it is, what was seen and what to do', () => {
    for (const { alert, labels, annotations } of rules) {
      expect(['info', 'warning', 'critical'], alert).toContain(labels['severity']);
      expect(annotations, alert).toMatchObject({
        summary: expect.stringMatching(/\{\{/),
        remedy: expect.stringMatching(/\.$/),
      });
    }
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
  });

  test('the compose file names its images by version and mounts what is there', () => {
    const { services } = parse(read('compose.yaml')) as {
      services: Record<string, { image: string; volumes: string[] }>;
    };
    for (const { image, volumes } of Object.values(services)) {
      expect(image).toMatch(/:v?\d+\.\d+\.\d+$/);
      for (const volume of volumes) {
        expect(existsSync(new URL(volume.split(':')[0] as string, FOLDER)), volume).toBe(true);
      }
    }
    const prometheus = parse(read('prometheus.yaml')) as { rule_files: string[] };
    expect(prometheus.rule_files).toEqual(['alerts.yaml']);
  });
});
