import { Telemetry } from '@shardline/core';
import type { KeyspaceRouter } from './keyspace-router.js';
import type { RouterCore } from './router-core.js';
import { VERSION } from './version.js';

/** Counters of a router, read when somebody collects them; the hot path pays an addition. */
export function routerTelemetry(
  core: RouterCore,
  keyspaces: ReadonlyMap<string, KeyspaceRouter>,
): Telemetry {
  const counter = (name: string, unit: string, description: string, read: () => number) => ({
    name,
    unit,
    description,
    kind: 'counter' as const,
    observe: (report: (value: number) => void) => report(read()),
  });
  const { counts } = core;
  return new Telemetry({
    scope: '@shardline/shard-router',
    version: VERSION,
    observed: [
      counter('shardline.router.calls', '{call}', 'Calls routed by key.', () => counts.calls),
      counter('shardline.router.scatters', '{call}', 'Scatters begun.', () => counts.scatters),
      counter(
        'shardline.router.verified',
        '{call}',
        'Calls whose ownership was checked after the fact.',
        () => counts.verified,
      ),
      counter(
        'shardline.router.reruns',
        '{call}',
        'Attempts that met a slot which had moved.',
        () => counts.reruns,
      ),
      counter(
        'shardline.router.refused_writes',
        '{write}',
        'Writes that a guard refused.',
        () => counts.refusedWrites,
      ),
      {
        name: 'shardline.router.epoch',
        unit: '{epoch}',
        kind: 'gauge',
        description: 'Epoch of the topology in force.',
        observe: (report) => report(core.topology.epoch),
      },
      {
        name: 'shardline.router.waiting',
        unit: '{call}',
        kind: 'gauge',
        description: 'Calls that wait for held slots.',
        observe: (report) => {
          for (const { name, gate } of keyspaces.values()) {
            report(gate.waiting, { 'shardline.keyspace': name });
          }
        },
      },
      {
        name: 'shardline.router.leased',
        unit: '1',
        kind: 'gauge',
        description: '1 while calls may skip verification under a lease.',
        observe: (report) => report(core.isCovered(core.clock.monotonicMs()) ? 1 : 0),
      },
    ],
  });
}
