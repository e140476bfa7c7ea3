import {
  type Cache,
  type CacheNamespace,
  createCache,
  type InvalidationReport,
} from '@shardline/cache';
import type { RateLimiter } from '@shardline/ratelimit';
import type { Router, ShardKey } from '@shardline/shard-router';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type {
  DataLayerConfig,
  EntityDefinitions,
  EventDefinitions,
  KeyspaceDefinitions,
  NamespaceDefinitions,
  None,
} from '../config.js';
import { type ResolvedConfig, resolveConfig } from '../config-check.js';
import type { DataLayer, DataLayerHealth, DataLayerStats } from '../data-layer.js';
import type { Entity, Key } from '../entity/entity.js';
import { EntityLimits } from '../entity/entity-limits.js';
import { EntityNames } from '../entity/names.js';
import type { Columns } from '../entity/statements.js';
import { layerError } from '../errors.js';
import { checkPayload } from '../events.js';
import { eventOf, RowRules } from '../invalidation/row-rules.js';
import type { CloseReport } from '../lifecycle/close-report.js';
import { openEntityLimiter, openLimiter } from '../opened-parts.js';
import type { LayerSession } from '../session/layer-session.js';
import { fixedTopology } from '../shards.js';
import type { LayerTransaction } from '../transaction/layer-transaction.js';
import { MemoryEntity } from './memory-entity.js';
import { MemoryTable } from './memory-table.js';
import { MemoryTransactions } from './memory-transactions.js';

/** SQL that the layer was asked to run. */
export interface MemoryQuestion {
  readonly entity: string;
  readonly text: string;
  readonly values: readonly unknown[];
}

/** How the in-memory layer stands in for a database. */
export interface MemoryLayerOptions {
  /** By entity: what the database would fill in on insert, such as ids and times. */
  readonly defaults?: Readonly<Record<string, () => Readonly<Record<string, unknown>>>>;
  /** Answers `query` and `scatter`. @default they fail with `MEMORY_LAYER_UNSUPPORTED` */
  readonly answers?: (question: MemoryQuestion) => readonly Readonly<Record<string, unknown>>[];
}

/**
 * A data layer with the API of the real one and no server: rows, cache and limits are in this process. For
 * unit tests of what is built on the layer. It does not run SQL, and knows nothing of replicas: what rests on
 * those wants real servers, from `@shardline/testkit`.
 *
 * @throws ShardlineError `CONFIG_INVALID`, as the real one.
 *
 * @example
 * ```ts
 * import { defineConfig } from 'shardline';
 * import { createMemoryLayer } from 'shardline/testing';
 *
 * const config = defineConfig({
 *   name: 'shop',
 *   shards: { one: { primary: 'postgres://127.0.0.1:5432/shop' } },
 *   keyspaces: { customers: { keyType: 'bigint' } },
 *   entities: {
 *     customers: { table: 'customers', keyspace: 'customers', key: 'customer_id' },
 *   },
 * });
 *
 * await using layer = createMemoryLayer(config);
 * await layer.entities.customers.insert({ customer_id: 42n, name: 'Ada' });
 * const ada = await layer.entities.customers.get(42n);
 * ```
 */
export function createMemoryLayer<
  const Entities extends EntityDefinitions,
  const Keyspaces extends KeyspaceDefinitions,
  const Events extends EventDefinitions = None,
  const Namespaces extends NamespaceDefinitions = NamespaceDefinitions,
>(
  config: DataLayerConfig<Entities, Keyspaces, Events, Namespaces>,
  options: MemoryLayerOptions = {},
): DataLayer<Entities, Keyspaces, Events, Namespaces> {
  const layer = new MemoryLayer(resolveConfig(config), options);
  return layer as unknown as DataLayer<Entities, Keyspaces, Events, Namespaces>;
}

const SESSION: LayerSession = {
  run: (work) => work(),
  token: async () => 'memory',
  merge: () => {},
};

class MemoryLayer implements DataLayer {
  readonly name: string;
  readonly entities: Readonly<Record<string, Entity>>;
  readonly namespaces: Readonly<Record<string, CacheNamespace>>;
  readonly cache: Cache;
  readonly #config: ResolvedConfig;
  readonly #limiter: RateLimiter | undefined;
  readonly #entityLimiter: RateLimiter | undefined;
  readonly #transactions: MemoryTransactions;
  #closing: Promise<CloseReport> | undefined;

  constructor(config: ResolvedConfig, options: MemoryLayerOptions) {
    this.name = config.name;
    this.#config = config;
    const alone = { ...config, redis: undefined };
    this.#limiter = openLimiter(alone);
    this.#entityLimiter = openEntityLimiter(alone);
    this.cache = memoryCacheOf(config);
    this.namespaces = Object.fromEntries(
      Object.entries(config.namespaces).map(([name, { load, tiers, partition, ...policy }]) => [
        name,
        this.cache.namespace(name, {
          ...policy,
          coherence: 'bounded',
          tiers: ['l1'],
          ...(load === undefined
            ? {}
            : { load: (key, { signal }) => load(key, { signal, router: this.router }) }),
        }),
      ]),
    );
    const tables: MemoryTable[] = [];
    this.#transactions = new MemoryTransactions(fixedTopology(config), () => {
      const undo = tables.map((table) => table.snapshot());
      return () => {
        for (const one of undo) one();
      };
    });
    this.entities = Object.fromEntries(
      Object.keys(config.entities).map((name) => [name, this.#makeEntity(name, options, tables)]),
    );
  }

  get router(): Router {
    throw layerError('MEMORY_LAYER_UNSUPPORTED', 'The in-memory layer has no router.');
  }

  get limits(): RateLimiter {
    if (this.#limiter !== undefined) return this.#limiter;
    throw layerError('MEMORY_LAYER_UNSUPPORTED', 'The configuration has no limits.', {
      remedy: 'Give it `limits.tiers`.',
    });
  }

  session(): LayerSession {
    return SESSION;
  }

  runInSession<T>(_token: string | undefined, work: (session: LayerSession) => T): T {
    return work(SESSION);
  }

  transaction<T>(
    keyspace: string,
    key: ShardKey,
    work: (transaction: LayerTransaction) => Promise<T>,
  ): Promise<T> {
    return this.#transactions.run(keyspace, key, (transaction) =>
      this.cache.afterCommit(() => work(transaction)),
    );
  }

  async emit(event: string, payload: unknown): Promise<InvalidationReport> {
    const checked = await checkPayload(event, this.#config.events[event]?.payload, payload);
    return this.cache.emit(event, checked);
  }

  drizzle(): never {
    throw layerError('MEMORY_LAYER_UNSUPPORTED', 'The in-memory layer has no shard for Drizzle.');
  }

  kysely(): never {
    throw layerError('MEMORY_LAYER_UNSUPPORTED', 'The in-memory layer has no shard for Kysely.');
  }

  health(): DataLayerHealth {
    const live = this.#closing === undefined;
    return {
      live,
      ready: live,
      reasons: live ? [] : ['the layer is being closed'],
      router: undefined,
      cache: this.cache.health(),
      limits: this.#limiter?.health(),
    };
  }

  stats(): DataLayerStats {
    return Object.fromEntries(
      Object.keys(this.namespaces).map((name) => {
        const { l1Hits, misses, loads } = this.cache.namespace(name).stats();
        return [name, { lookups: l1Hits + misses, l1: l1Hits, l2: 0, l3: 0, loads }];
      }),
    );
  }

  close(): Promise<CloseReport> {
    this.#closing ??= (async () => {
      await Promise.all([this.cache.close(), this.#limiter?.close(), this.#entityLimiter?.close()]);
      return { clean: true, abandonedCalls: 0, steps: [] };
    })();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #makeEntity(name: string, options: MemoryLayerOptions, tables: MemoryTable[]): Entity {
    const definition = this.#config.entities[name] as ResolvedConfig['entities'][string];
    const { table, key, id, keyspace, schema, limits, invalidates } = definition;
    const canonical = canonicalFor(this.#config, keyspace);
    const names = new EntityNames({ entity: name, table, key, id }, canonical);
    const rows = new MemoryTable(names);
    tables.push(rows);
    const limited = (['reads', 'writes'] as const).filter((kind) => limits[kind] !== undefined);
    const rules = new RowRules(name, invalidates, (event, row) => this.cache.recordsOf(event, row));
    return new MemoryEntity({
      names,
      table: rows,
      transactions: this.#transactions,
      schema: schema as StandardSchemaV1<unknown, object> | undefined,
      limits: new EntityLimits(name, this.#entityLimiter, new Set(limited)),
      keyspace,
      defaults: options.defaults?.[name] ?? (() => ({})),
      answers: options.answers,
      onWrite: async (row: Columns) => {
        await this.cache.apply(rules.recordsOf(row));
      },
    }) as unknown as Entity;
  }
}

/** One tier, in this process; entities have their names there for rules to speak of. */
function memoryCacheOf(config: ResolvedConfig): Cache {
  const entities = Object.entries(config.entities);
  const rules = [
    ...Object.entries(config.events).map(([name, { invalidates }]) => [name, invalidates]),
    ...entities
      .filter(([, { invalidates }]) => invalidates.length > 0)
      .map(([name, { invalidates }]) => [eventOf(name), invalidates]),
  ];
  const cache = createCache({ prefix: config.name, rules: Object.fromEntries(rules) });
  for (const [name, { cache: policy, id }] of entities) {
    if (policy === undefined) continue;
    const keys = id === undefined ? {} : { keys: '{key}:{id}' };
    cache.namespace(name, { ttl: '1h', tiers: ['l1'], ...keys });
  }
  return cache;
}

function canonicalFor(config: ResolvedConfig, keyspace: string | undefined): (key: Key) => string {
  if (keyspace === undefined) return String;
  const own = fixedTopology(config).keyspace(keyspace).keyspace;
  return (key) => {
    // Hashing refuses what is no key of this keyspace.
    own.slotOf(key as ShardKey);
    return own.canonical(key as ShardKey);
  };
}
