import { checkOptions, type Duration, durationOption, integerOption } from '@shardline/core';
import * as v from 'valibot';
import { chooseBackend } from '../server/choose-backend.js';
import type { Backend } from '../server/server.js';
import { serverNameOption } from '../server/server-name.js';
import { startTogether, stopTogether } from '../server/start-together.js';
import { waitUntil } from '../server/wait-until.js';
import { parseClusterNodes } from './cluster-nodes.js';
import { startOnFreePorts } from './cluster-ports.js';
import { SLOT_COUNT } from './cluster-slot.js';
import { launchRedis } from './launch-redis.js';
import { RedisCluster } from './redis-cluster.js';
import { redisConfiguration } from './redis-configuration.js';
import {
  type CheckedRedisOptions,
  type RedisCommonOptions,
  redisCommonEntries,
} from './redis-options.js';
import { RedisServer } from './redis-server.js';

/** How a Redis Cluster is started. */
export interface RedisClusterOptions extends RedisCommonOptions {
  /** @default 3, the fewest that can agree on a failover */
  readonly masters?: number;
  /** @default 1 */
  readonly replicasPerMaster?: number;
  /** How long a node may be silent before it counts as failed. @default '2s' */
  readonly nodeTimeout?: Duration;
}

const schema = v.strictObject({
  name: v.optional(serverNameOption, 'redis-cluster'),
  ...redisCommonEntries,
  masters: v.optional(integerOption(1, 16), 3),
  replicasPerMaster: v.optional(integerOption(0, 3), 1),
  nodeTimeout: v.optional(durationOption({ min: '200ms' }), '2s'),
});

type ClusterOptions = v.InferOutput<typeof schema>;

/**
 * Starts a Redis Cluster: three masters with a replica each, slots spread evenly. It is stable when
 * this resolves.
 *
 * @throws ShardlineError `CONFIG_INVALID`, `TESTKIT_BINARY_MISSING`, `TESTKIT_NOT_READY`.
 *
 * @example
 * ```ts
 * import { startRedisCluster } from '@shardline/testkit';
 *
 * await using cluster = await startRedisCluster();
 * const master = await cluster.masterOf('user:1');
 * await master.kill();
 * const successor = await cluster.waitForFailover(master);
 * console.error(`${successor.name} serves user:1 now`);
 * ```
 */
export async function startRedisCluster(options: RedisClusterOptions = {}): Promise<RedisCluster> {
  const checked = checkOptions(schema, options, 'startRedisCluster');
  const backend = await chooseBackend('redis');
  const count = checked.masters * (1 + checked.replicasPerMaster);
  const nodes = await startTogether(
    Array.from({ length: count }, (_, index) => () => startNode(backend, checked, index)),
  );
  try {
    const masters = nodes.slice(0, checked.masters);
    const replicas = nodes.slice(checked.masters);
    const groups = masters.map((master, index) => [
      master,
      ...replicas.filter((_, place) => place % checked.masters === index),
    ]);
    await form(groups);
    const cluster = new RedisCluster(checked.name, groups);
    const { signal } = checked;
    await cluster.waitUntilStable(signal === undefined ? {} : { signal });
    return cluster;
  } catch (error) {
    await stopTogether(nodes);
    throw error;
  }
}

function startNode(backend: Backend, options: ClusterOptions, index: number): Promise<RedisServer> {
  const access = { password: options.password };
  return startOnFreePorts(async (port, release) => {
    const server = await launchRedis(backend, {
      name: `${options.name}-${index}`,
      port,
      access,
      signal: options.signal,
      configuration: (place, hasDebugDirective) =>
        redisConfiguration(place, options satisfies CheckedRedisOptions, {
          hasDebugDirective,
          role: clusterDirectives(options.nodeTimeout),
        }),
    });
    return new RedisServer(server, access, release);
  });
}

function clusterDirectives(nodeTimeoutMs: number) {
  return {
    'cluster-enabled': 'yes',
    'cluster-config-file': 'nodes.conf',
    'cluster-node-timeout': nodeTimeoutMs,
    'cluster-announce-ip': '127.0.0.1',
    // A replica stands for election however long its master has been silent (frozen, say).
    'cluster-replica-validity-factor': 0,
    // Replicas stay in their group: no master ever has so many to spare.
    'cluster-migration-barrier': 999,
  };
}

/** Makes one cluster of separate nodes. */
async function form(groups: readonly (readonly RedisServer[])[]): Promise<void> {
  const masters = groups.flatMap((group) => group.slice(0, 1));
  await Promise.all(
    masters.map(async (master, index) => {
      // Distinct epochs from the beginning, or the nodes would have to settle a draw first.
      await master.command('CLUSTER', 'SET-CONFIG-EPOCH', index + 1);
      await master.command('CLUSTER', 'ADDSLOTS', ...slotsOf(index, masters.length));
    }),
  );
  await introduce(groups.flat());
  await Promise.all(
    groups.flatMap(([master, ...replicas]) =>
      replicas.map(async (replica) => {
        const id = String(await master?.command('CLUSTER', 'MYID'));
        await replica.command('CLUSTER', 'REPLICATE', id);
      }),
    ),
  );
}

async function introduce(nodes: readonly RedisServer[]): Promise<void> {
  const [first, ...others] = nodes;
  for (const node of others) await first?.command('CLUSTER', 'MEET', node.host, node.port);
  await waitUntil(
    async () => {
      for (const node of nodes) {
        const known = parseClusterNodes(String(await node.command('CLUSTER', 'NODES')));
        const settled = known.filter(({ flags }) => !flags.has('handshake'));
        if (settled.length !== nodes.length) {
          throw new Error(`${node.name} knows ${settled.length} of ${nodes.length}`);
        }
      }
      return true;
    },
    { what: 'the nodes of a Redis Cluster to know each other', within: '60s', everyMs: 50 },
  );
}

/** An even share of the slots. */
function slotsOf(index: number, masters: number): number[] {
  const from = Math.floor((index * SLOT_COUNT) / masters);
  const to = Math.floor(((index + 1) * SLOT_COUNT) / masters);
  return Array.from({ length: to - from }, (_, offset) => from + offset);
}
