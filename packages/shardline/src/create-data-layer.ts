import { randomBytes } from 'node:crypto';
import { type Clock, type Duration, systemClock } from '@shardline/core';
import type {
  DataLayerConfig,
  EntityDefinitions,
  EventDefinitions,
  KeyspaceDefinitions,
  NamespaceDefinitions,
  None,
} from './config.js';
import { type ResolvedConfig, resolveConfig } from './config-check.js';
import type { DataLayer } from './data-layer.js';
import { OpenedLayer } from './opened-layer.js';
import { openCache, openEntityLimiter, openLimiter } from './opened-parts.js';
import { checkOutboxes } from './outbox/outbox.js';
import { currentLayerSession } from './session/current-session.js';
import { openShards } from './shards.js';

/**
 * Opens everything that a configuration names and joins it.
 *
 * @throws ShardlineError `CONFIG_INVALID`, with every fault; `LAYER_OUTBOX_MISSING`; what router, cache and
 * limiter throw when their servers cannot be reached. Whatever had been opened by then is closed.
 *
 * @example
 * ```ts
 * import { createDataLayer } from 'shardline';
 *
 * await using layer = await createDataLayer({
 *   name: 'shop',
 *   shards: {
 *     one: { primary: 'postgres://127.0.0.1:5432/shop' },
 *     two: { primary: 'postgres://127.0.0.1:5433/shop' },
 *   },
 *   keyspaces: { customers: { keyType: 'bigint' } },
 *   redis: 'redis://127.0.0.1:6379',
 *   entities: {
 *     customers: {
 *       table: 'customers',
 *       keyspace: 'customers',
 *       key: 'customer_id',
 *       cache: { ttl: '1h', tiers: ['l1', 'l2'] },
 *     },
 *   },
 * });
 *
 * const customer = await layer.entities.customers.get(42n);
 * ```
 */
export async function createDataLayer<
  const Entities extends EntityDefinitions,
  const Keyspaces extends KeyspaceDefinitions,
  const Events extends EventDefinitions = None,
  const Namespaces extends NamespaceDefinitions = NamespaceDefinitions,
>(
  config: DataLayerConfig<Entities, Keyspaces, Events, Namespaces>,
): Promise<DataLayer<Entities, Keyspaces, Events, Namespaces>> {
  const layer = await openLayer(resolveConfig(config), systemClock);
  return layer as unknown as DataLayer<Entities, Keyspaces, Events, Namespaces>;
}

async function openLayer(config: ResolvedConfig, clock: Clock): Promise<OpenedLayer> {
  const opened: AsyncDisposable[] = [];
  try {
    const shards = await openShards(config);
    opened.push(...shards.pools.values(), shards.router);
    // What sessions are kept by: the layer itself does not exist yet when its cache first asks.
    const owner = {};
    const cache = openCache(config, () => currentLayerSession(owner)?.provenSinceMs);
    if (cache !== undefined) opened.push(cache);
    const limiter = openLimiter(config);
    if (limiter !== undefined) opened.push(limiter);
    const entityLimiter = openEntityLimiter(config);
    if (entityLimiter !== undefined) opened.push(entityLimiter);
    const relayInterval = relayIntervalOf(config);
    if (relayInterval !== undefined) await checkOutboxes(shards.pools);
    // The limiter first: it names the Redis that cannot be reached, the cache waits for several tiers.
    await limiter?.ready();
    await entityLimiter?.ready();
    await cache?.ready();
    return new OpenedLayer(config, {
      ...shards,
      owner,
      cache,
      limiter,
      entityLimiter,
      relayInterval,
      clock,
      issuer: randomBytes(8).toString('hex'),
    });
  } catch (error) {
    for (const part of opened.reverse()) await Promise.allSettled([part[Symbol.asyncDispose]()]);
    throw error;
  }
}

/** How often the relays look; undefined where there is no outbox. */
function relayIntervalOf({ outbox, catalog }: ResolvedConfig): Duration | undefined {
  const isOn = outbox ?? catalog !== undefined;
  if (isOn === false) return undefined;
  const intervalMs = typeof isOn === 'object' ? isOn.relayInterval : undefined;
  return `${intervalMs ?? DEFAULT_RELAY_MS}ms`;
}

const DEFAULT_RELAY_MS = 1000;
