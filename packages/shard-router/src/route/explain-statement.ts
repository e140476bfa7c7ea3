/**
 * Which shards a statement would run on, on which of their servers, and why. Nothing is sent.
 */

import { ShardlineError } from '@shardline/core';
import type { RouteExplanation } from '@shardline/pool';
import type pg from 'pg';
import { routerErrors } from '../errors.js';
import type { ShardKey } from '../keyspace.js';
import type { CallOptions, RouterCore } from '../router-core.js';
import { loadParser } from '../sql/tree.js';
import { decideForAll, decideForKeys } from './decide.js';
import { type PlacementRule, placeStatement, type StatementPlace } from './place-statement.js';

/** What a statement is explained for. */
export interface ExplainOptions extends CallOptions {
  /** The key that the call would be given. Without it the statement itself is asked. */
  readonly key?: ShardKey;
  /** The keyspace that it is for. @default that of the tables in the statement */
  readonly keyspace?: string;
}

/** One shard of a route. */
export interface ExplainedShard {
  readonly shard: string;
  /** The slots of the keys; undefined where the route does not go by keys. */
  readonly slots: readonly number[] | undefined;
  /** `unknown` if the shard's pool is not a `ReplicaPool`; `none` if it has no such server at present. */
  readonly role: 'primary' | 'replica' | 'none' | 'unknown';
  /** The server, or those among which the pool picks one. */
  readonly nodes: readonly string[];
  /** Why that server. */
  readonly reason: string;
}

/** Where a statement would go, and why. */
export interface StatementExplanation {
  readonly rule: PlacementRule;
  /** Why that rule. */
  readonly reason: string;
  readonly keyspace: string | undefined;
  readonly epoch: number;
  /** The call that runs it so, such as `router.query(key, …)`; undefined if none does. */
  readonly call: string | undefined;
  readonly shards: readonly ExplainedShard[];
}

/** @throws ShardlineError `STATEMENT_INVALID`, `KEYSPACE_UNKNOWN`, `KEY_INVALID`. */
export async function explainStatement(
  core: RouterCore,
  sql: string,
  values: readonly unknown[],
  options: ExplainOptions,
): Promise<StatementExplanation> {
  await loadParser();
  const place = placeStatement(sql, values, core.options, options);
  const routes = routesOf(core, place);
  const target = place.rule === 'scatter' ? 'primary' : undefined;
  const shards = await Promise.all(
    routes.map(async ({ shard, slots }) => ({
      shard,
      slots,
      ...(await explainOn(core.shard(shard).pool, sql, target, options.signal)),
    })),
  );
  const { rule, reason, keyspace } = place;
  return { rule, reason, keyspace, epoch: core.topology.epoch, call: callOf(place), shards };
}

interface Target {
  readonly shard: string;
  readonly slots: readonly number[] | undefined;
}

function routesOf(core: RouterCore, { rule, keyspace, keys }: StatementPlace): Target[] {
  const { topology, options } = core;
  switch (rule) {
    case 'refused':
      return [];
    case 'unsharded':
      return [{ shard: options.unsharded?.shard ?? '', slots: undefined }];
    case 'everywhere':
      return [...core.shards.keys()].map((shard) => ({ shard, slots: undefined }));
    case 'reference':
      // A read is for one of them, whichever has its turn; all are listed, since each can be it.
      return [...core.shards.keys()].map((shard) => ({ shard, slots: undefined }));
    default: {
      const one = topology.keyspaces.get(keyspace ?? '');
      if (one === undefined) {
        throw new ShardlineError(
          routerErrors.KEYSPACE_UNKNOWN,
          `This router has no keyspace '${keyspace}'.`,
        );
      }
      if (keys === undefined) {
        return decideForAll(one).shards.map((shard) => ({ shard, slots: undefined }));
      }
      return decideForKeys(one, keys).groups.map(({ shard, slots }) => ({
        shard,
        slots: [...new Set(slots)],
      }));
    }
  }
}

/** What the pool of a shard says; pools of other makers cannot be asked. */
async function explainOn(
  pool: pg.Pool,
  sql: string,
  target: 'primary' | undefined,
  signal: AbortSignal | undefined,
): Promise<Pick<ExplainedShard, 'role' | 'nodes' | 'reason'>> {
  const { explain } = pool as { explain?: unknown };
  if (typeof explain !== 'function') {
    return { role: 'unknown', nodes: [], reason: 'the pool of this shard was made elsewhere' };
  }
  const answer = explain.call(pool, sql, { target, signal }) as Promise<RouteExplanation>;
  const { role, nodes, reason } = await answer;
  return {
    role,
    nodes,
    reason: target === undefined ? reason : 'a scatter reads from primaries, whose epoch it checks',
  };
}

function callOf({ rule, isWrite }: StatementPlace): string | undefined {
  switch (rule) {
    case 'key':
    case 'key-in-statement':
      return 'router.query(key, …)';
    case 'keys-in-statement':
      return isWrite
        ? 'router.query(key, …) for each key, or router.insertMany'
        : 'router.byKeys(keys, …)';
    case 'scatter':
      return 'router.scatter(…)';
    case 'reference':
      return isWrite ? 'router.reference.write(…)' : 'router.reference.query(…)';
    case 'unsharded':
      return 'router.unsharded().query(…)';
    case 'everywhere':
      return 'router.everywhere(…)';
    case 'refused':
      return undefined;
  }
}
