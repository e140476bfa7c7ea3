import type { Cache, CacheNamespace, NamespaceOptions } from '@shardline/cache';
import { type PoolSession, runInPoolSessions } from '@shardline/pool';
import type { Router } from '@shardline/shard-router';
import type { NamespaceDefinition } from './config.js';
import type { SessionContext } from './session/open-session.js';

/**
 * Cached queries beside entities.
 *
 * Patterns and tags leave no mark that says how fresh the next load must be, and these namespaces live by
 * them. So each load begins at the primaries: it shows whatever was acknowledged before it began, on a replica if
 * one has got as far.
 */
export function openNamespace(
  cache: Cache,
  name: string,
  definition: NamespaceDefinition,
  defaults: { readonly hasRedis: boolean },
  sessions: SessionContext,
  router: Router,
): CacheNamespace {
  const { load, tiers, ...policy } = definition;
  const options: NamespaceOptions<unknown> = {
    codec: 'msgpack',
    ...policy,
    tiers: tiers ?? (defaults.hasRedis ? ['l1', 'l2'] : ['l1']),
    around: (work) => atPrimaries(sessions, work),
    ...(load === undefined ? {} : { load: (key, { signal }) => load(key, { signal, router }) }),
  };
  return cache.namespace(name, options);
}

/** Runs reads that show everything acknowledged before they began, whatever session the caller is in. */
function atPrimaries<T>({ pools, shardOf }: SessionContext, work: () => T): T {
  const begun = new Map<object, PoolSession>();
  return runInPoolSessions((pool) => {
    const shard = shardOf.get(pool);
    if (shard === undefined) return undefined;
    let session = begun.get(pool);
    if (session === undefined) {
      session = pools.get(shard)?.sessionAt(undefined);
      if (session !== undefined) begun.set(pool, session);
    }
    return session;
  }, work);
}
