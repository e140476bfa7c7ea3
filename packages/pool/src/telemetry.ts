import { type ObservedMetric, type RecordedMetric, Telemetry } from '@shardline/core';
import type { Node } from './node/node.js';
import type { TopologyState } from './topology/topology-state.js';

/**
 * What a pool tells OpenTelemetry: the semantic conventions' metrics of a client's connection pool,
 * one series per server, and beside them what only this pool knows: lag, roles, routes, ejections.
 * Counts are plain fields that are read when somebody collects.
 */
export interface PoolTelemetrySources {
  readonly nodes: readonly Node[];
  readonly topology: () => TopologyState | undefined;
  readonly ejected: () => ReadonlySet<string>;
  readonly settings: { readonly max: number; readonly min: number };
}

/** What is counted of one server's connections as it happens. */
export interface NodeCounters {
  acquireTimeouts: number;
  leaks: number;
  leftInTransaction: number;
  brokenConnections: number;
  failedDials: number;
}

/** What is counted as it happens. */
export interface PoolCounters {
  /** By the name of the server. */
  readonly nodes: Map<string, NodeCounters>;
  /** By `node|role|reason`. */
  readonly routes: Map<string, number>;
  /** By `recovery`: how often a failed attempt was made good elsewhere. */
  readonly recoveries: Map<string, number>;
  /** By the role of the server that answered: reads made within a session. */
  readonly sessionReads: Map<string, number>;
}

export function emptyCounters(): PoolCounters {
  return { nodes: new Map(), routes: new Map(), recoveries: new Map(), sessionReads: new Map() };
}

/** The counters of one server, from zero. */
export function addNodeCounters({ nodes }: PoolCounters, name: string): NodeCounters {
  const counters: NodeCounters = {
    acquireTimeouts: 0,
    leaks: 0,
    leftInTransaction: 0,
    brokenConnections: 0,
    failedDials: 0,
  };
  nodes.set(name, counters);
  return counters;
}

/** Adds one. */
export function count(map: Map<string, number>, key: string): void {
  map.set(key, (map.get(key) ?? 0) + 1);
}

const POOL_NAME = 'db.client.connection.pool.name';
const STATE = 'db.client.connection.state';
const SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10];

const RECORDED: readonly RecordedMetric[] = [
  {
    name: 'db.client.connection.create_time',
    unit: 's',
    description: 'The time it took to create a new connection.',
    bounds: SECONDS,
  },
  {
    name: 'db.client.connection.wait_time',
    unit: 's',
    description: 'The time it took to obtain an open connection from the pool.',
    bounds: SECONDS,
  },
  {
    name: 'db.client.connection.use_time',
    unit: 's',
    description: 'The time between borrowing a connection and returning it to the pool.',
    bounds: SECONDS,
  },
  {
    name: 'db.client.operation.duration',
    unit: 's',
    description: 'Duration of statements, the wait for a connection included.',
    bounds: SECONDS,
  },
];

/** Makes a pool's instruments. */
export function poolTelemetry(sources: PoolTelemetrySources, counters: PoolCounters): Telemetry {
  return new Telemetry({
    scope: '@shardline/pool',
    version: '0.1.0',
    observed: [...connectionMetrics(sources, counters), ...topologyMetrics(sources, counters)],
    recorded: RECORDED,
  });
}

function connectionMetrics(
  { nodes, settings }: PoolTelemetrySources,
  counters: PoolCounters,
): ObservedMetric[] {
  const perNode = (
    name: string,
    unit: string,
    description: string,
    value: (node: Node) => number,
  ): ObservedMetric => ({
    name,
    kind: 'up-down-counter',
    unit,
    description,
    observe: (report) => {
      for (const node of nodes) report(value(node), { [POOL_NAME]: node.name });
    },
  });
  const counted = (
    name: string,
    unit: string,
    description: string,
    value: (node: NodeCounters) => number,
  ): ObservedMetric =>
    counter(name, unit, description, () =>
      [...counters.nodes].map(([node, counts]) => [value(counts), { [POOL_NAME]: node }]),
    );
  return [
    {
      name: 'db.client.connection.count',
      kind: 'up-down-counter',
      unit: '{connection}',
      description: 'Connections by state.',
      observe: (report) => {
        for (const { name, pool } of nodes) {
          report(pool.counts.idle, { [POOL_NAME]: name, [STATE]: 'idle' });
          report(pool.counts.busy, { [POOL_NAME]: name, [STATE]: 'used' });
        }
      },
    },
    perNode(
      'db.client.connection.max',
      '{connection}',
      'Most open connections.',
      () => settings.max,
    ),
    perNode(
      'db.client.connection.idle.min',
      '{connection}',
      'Connections that are kept open.',
      () => settings.min,
    ),
    perNode(
      'db.client.connection.idle.max',
      '{connection}',
      'Most idle connections: all that are open may be.',
      () => settings.max,
    ),
    perNode(
      'db.client.connection.pending_requests',
      '{request}',
      'Callers that wait for a connection.',
      (node) => node.pool.waitingCount,
    ),
    counted(
      'db.client.connection.timeouts',
      '{timeout}',
      'Acquires that ran out of time.',
      (node) => node.acquireTimeouts,
    ),
    counted(
      'shardline.pool.leaks',
      '{connection}',
      'Connections reported as held too long.',
      (node) => node.leaks,
    ),
    counted(
      'shardline.pool.left_in_transaction',
      '{connection}',
      'Connections given back with a transaction open.',
      (node) => node.leftInTransaction,
    ),
    counted(
      'shardline.pool.broken_connections',
      '{connection}',
      'Connections that broke.',
      (node) => node.brokenConnections,
    ),
    counted(
      'shardline.pool.failed_dials',
      '{dial}',
      'Connections that could not be opened.',
      (node) => node.failedDials,
    ),
  ];
}

function topologyMetrics(
  { nodes, topology, ejected }: PoolTelemetrySources,
  counters: PoolCounters,
): ObservedMetric[] {
  const gauge = (
    name: string,
    unit: string,
    description: string,
    value: (name: string) => number | undefined,
  ): ObservedMetric => ({
    name,
    kind: 'gauge',
    unit,
    description,
    observe: (report) => {
      for (const node of nodes) {
        const known = value(node.name);
        if (known !== undefined) report(known, { [POOL_NAME]: node.name });
      }
    },
  });
  const view = (name: string) => topology()?.nodes.get(name);
  return [
    gauge(
      'shardline.pool.replica.lag',
      'ms',
      'Time a replica is behind.',
      (name) => view(name)?.lagMs,
    ),
    gauge('shardline.pool.replica.lag_bytes', 'By', 'Bytes a replica is behind.', (name) => {
      const bytes = view(name)?.lagBytes;
      return bytes === undefined ? undefined : Number(bytes);
    }),
    gauge('shardline.pool.is_primary', '1', '1 for the server that takes writes.', (name) =>
      topology()?.primary === name ? 1 : 0,
    ),
    gauge('shardline.pool.is_ejected', '1', '1 for a server that is left alone for now.', (name) =>
      ejected().has(name) ? 1 : 0,
    ),
    counter('shardline.pool.routes', '{statement}', 'Statements by server and reason.', () =>
      [...counters.routes].map(([key, value]) => {
        const [node, role, reason] = key.split('|');
        return [
          value,
          { [POOL_NAME]: node, 'shardline.pool.role': role, 'shardline.pool.reason': reason },
        ];
      }),
    ),
    counter('shardline.pool.recoveries', '{statement}', 'Failures made good elsewhere.', () =>
      [...counters.recoveries].map(([way, value]) => [value, { 'shardline.pool.recovery': way }]),
    ),
    counter(
      'shardline.pool.session_reads',
      '{statement}',
      'Reads within sessions, by the role of the server that answered.',
      () =>
        [...counters.sessionReads].map(([way, value]) => [value, { 'shardline.pool.role': way }]),
    ),
  ];
}

type Reading = readonly [number, Readonly<Record<string, string | undefined>>];

function counter(
  name: string,
  unit: string,
  description: string,
  read: () => readonly Reading[],
): ObservedMetric {
  return {
    name,
    kind: 'counter',
    unit,
    description,
    observe: (report) => {
      for (const [value, attributes] of read()) report(value, attributes);
    },
  };
}
