import { integerOption } from '@shardline/core';
import * as v from 'valibot';
import {
  type PostgresOptions,
  postgresOptionsSchema,
  type ReplicaOptions,
  replicaOptionsSchema,
} from './postgres/postgres-options.js';
import { serverNameOption } from './server/server-name.js';

/** What every PostgreSQL of a topology is told. */
export type TopologyPostgresOptions = Omit<PostgresOptions, 'name' | 'signal'>;

/** One shard: a primary with its replicas. */
export interface ShardOptions {
  /** @default 'shard-<n>', from 0 */
  readonly name?: string;
  /** How many replicas, or each one's options. @default `replicasPerShard` */
  readonly replicas?: number | readonly Omit<ReplicaOptions, 'signal'>[];
  /** Over those of the topology. */
  readonly postgres?: TopologyPostgresOptions;
}

/** Which servers are started together. */
export interface TopologyOptions {
  /** How many shards, or each one's options. @default 1 */
  readonly shards?: number | readonly ShardOptions[];
  /** Replicas of each shard that does not say otherwise. @default 0 */
  readonly replicasPerShard?: number;
  /** What every PostgreSQL is told. */
  readonly postgres?: TopologyPostgresOptions;
  /** A Redis alone, a Cluster of three masters with a replica each, a primary under Sentinels. @default false */
  readonly redis?: 'standalone' | 'cluster' | 'sentinel' | false;
  /** How many Memcached nodes. @default 0 */
  readonly memcached?: number;
  /** Whether a PgBouncer in transaction mode stands before all of PostgreSQL. @default false */
  readonly pgbouncer?: boolean;
  /** Gives up a start that is under way; what had been started is ended. */
  readonly signal?: AbortSignal;
}

const postgres = v.optional(v.omit(postgresOptionsSchema, ['name', 'signal']), {});

const replicas = v.union(
  [integerOption(0, 16), v.array(v.omit(replicaOptionsSchema, ['signal']))],
  'must be a number of replicas from 0 to 16, or a list of their options',
);

const shard = v.strictObject({
  name: v.optional(serverNameOption),
  replicas: v.optional(replicas),
  postgres,
});

export const topologyOptionsSchema = v.strictObject({
  shards: v.optional(
    v.union(
      [integerOption(0, 64), v.array(shard)],
      'must be a number of shards from 0 to 64, or a list of their options',
    ),
    1,
  ),
  replicasPerShard: v.optional(integerOption(0, 16), 0),
  postgres,
  redis: v.optional(
    v.union(
      [v.picklist(['standalone', 'cluster', 'sentinel']), v.literal(false)],
      "must be 'standalone', 'cluster', 'sentinel' or false",
    ),
    false,
  ),
  memcached: v.optional(integerOption(0, 64), 0),
  pgbouncer: v.optional(v.boolean(), false),
  signal: v.optional(v.instance(AbortSignal)),
});

/** A shard with every default filled in. */
export interface ShardPlan {
  readonly name: string;
  readonly postgres: TopologyPostgresOptions;
  readonly replicas: readonly Omit<ReplicaOptions, 'signal'>[];
}

/** What a topology's options ask for, shard by shard. Pure; the options have been checked. */
export function planShards(options: TopologyOptions): ShardPlan[] {
  const { shards = 1, replicasPerShard = 0, postgres: common = {} } = options;
  const list: readonly ShardOptions[] =
    typeof shards === 'number' ? Array.from({ length: shards }, () => ({})) : shards;
  return list.map((one, index) => {
    const { replicas: wanted = replicasPerShard } = one;
    const settings = { ...common.settings, ...one.postgres?.settings };
    return {
      name: one.name ?? `shard-${index}`,
      postgres: { ...common, ...one.postgres, settings },
      replicas: typeof wanted === 'number' ? Array.from({ length: wanted }, () => ({})) : wanted,
    };
  });
}
