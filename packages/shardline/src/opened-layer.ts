import type { Cache, CacheNamespace, InvalidationReport } from '@shardline/cache';
import { type Clock, coreErrors, type Duration, durationMs, ShardlineError } from '@shardline/core';
import type { ReplicaPool } from '@shardline/pool';
import type { RateLimiter } from '@shardline/ratelimit';
import type { Router, ShardKey, TransactionOptions } from '@shardline/shard-router';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { ResolvedConfig, ResolvedEntity } from './config-check.js';
import type {
  DataLayer,
  DataLayerHealth,
  DataLayerStats,
  DrizzleFactory,
  KyselyModule,
} from './data-layer.js';
import type { Entity } from './entity/entity.js';
import { EntityLimits } from './entity/entity-limits.js';
import {
  type EntitySource,
  ReferenceSource,
  ShardedSource,
  UnshardedSource,
} from './entity/entity-source.js';
import { PreparedTexts } from './entity/prepared-texts.js';
import { RecentWrites } from './entity/recent-writes.js';
import type { CachedRow } from './entity/row-loader.js';
import { TableEntity } from './entity/table-entity.js';
import { checkPayload } from './events.js';
import { ShardFloors } from './freshness/shard-floors.js';
import { Invalidations } from './invalidation/invalidations.js';
import { RowRules } from './invalidation/row-rules.js';
import { LayerContext } from './layer-context.js';
import { Admission } from './lifecycle/admission.js';
import { closeInOrder } from './lifecycle/close-in-order.js';
import type { CloseOptions } from './lifecycle/close-options.js';
import type { CloseReport } from './lifecycle/close-report.js';
import { openNamespace } from './namespaces.js';
import { Outbox } from './outbox/outbox.js';
import { QueryBuilders } from './query-builders.js';
import type { LayerSession, SessionStart } from './session/layer-session.js';
import { OpenSession, type SessionContext } from './session/open-session.js';
import { openToken } from './session/session-token.js';
import type { LayerTransaction } from './transaction/layer-transaction.js';
import { Transactions } from './transaction/transactions.js';

/** What was opened for a layer. */
export interface OpenedParts {
  readonly pools: ReadonlyMap<string, ReplicaPool>;
  readonly router: Router;
  /** What sessions and transactions of this layer are kept by. */
  readonly owner: object;
  readonly cache: Cache | undefined;
  readonly limiter: RateLimiter | undefined;
  readonly entityLimiter: RateLimiter | undefined;
  /** Undefined: no outbox. */
  readonly relayInterval: Duration | undefined;
  readonly clock: Clock;
  /** Names this process in tokens. */
  readonly issuer: string;
}

const DEFAULT_CLOSE: Duration = '10s';

/** A data layer over real servers. */
export class OpenedLayer implements DataLayer {
  readonly name: string;
  readonly entities: Readonly<Record<string, Entity>>;
  readonly namespaces: Readonly<Record<string, CacheNamespace>>;
  readonly router: Router;
  readonly #config: ResolvedConfig;
  readonly #parts: OpenedParts;
  readonly #context: LayerContext;
  readonly #transactions: Transactions;
  readonly #builders: QueryBuilders;
  readonly #outbox: Outbox | undefined;
  readonly #cached: readonly string[];
  readonly #prepared: PreparedTexts;
  #closing: Promise<CloseReport> | undefined;
  #isClosed = false;

  constructor(config: ResolvedConfig, parts: OpenedParts) {
    const { cache, router, pools, clock, limiter } = parts;
    this.name = config.name;
    this.router = router;
    this.#config = config;
    this.#parts = parts;
    const recentWrites = recentWritesOf(config, clock);
    this.#outbox = this.#openOutbox();
    const sessions = sessionContextOf(config, parts);
    this.#context = new LayerContext({
      name: config.name,
      pools,
      router,
      cache,
      limiter,
      invalidations: cache && new Invalidations({ cache, outbox: this.#outbox, recentWrites }),
      writesOutbox: this.#outbox !== undefined,
      floors: new ShardFloors(pools, () => router.topology.epoch, clock),
      admission: new Admission(clock),
      sessions,
      clock,
      operationTimeoutMs: config.operationTimeout,
    });
    this.#transactions = new Transactions(this.#context);
    this.#builders = new QueryBuilders(this.#context);
    this.#prepared = new PreparedTexts(config.pool.pgBouncer !== true);
    this.#cached = [
      ...Object.keys(config.entities).filter((name) => config.entities[name]?.cache !== undefined),
      ...Object.keys(config.namespaces),
    ];
    this.namespaces = mapValues(config.namespaces, (name, definition) =>
      openNamespace(
        this.cache,
        name,
        definition,
        { hasRedis: config.redis !== undefined },
        sessions,
        router,
      ),
    );
    this.entities = mapValues(config.entities, (name, definition) =>
      this.#makeEntity(name, definition, recentWrites.get(name)),
    );
  }

  get cache(): Cache {
    return this.#parts.cache ?? this.#absent('a cache', 'Give an entity a `cache`');
  }

  get limits(): RateLimiter {
    return this.#parts.limiter ?? this.#absent('limits', 'Give it `limits.tiers`');
  }

  session(token?: string, { onBadToken = 'throw' }: SessionStart = {}): LayerSession {
    const { sessions } = this.#context.parts;
    if (token === undefined) return new OpenSession(sessions);
    try {
      return new OpenSession(sessions, openToken(token, sessions.signingKeys));
    } catch (error) {
      if (onBadToken === 'throw') throw error;
      // Whoever sent it has lost only the knowledge of where it stood; the primaries hold everything.
      return OpenSession.atPrimaries(sessions);
    }
  }

  runInSession<T>(token: string | undefined, work: (session: LayerSession) => T): T {
    const session = this.session(token);
    return session.run(() => work(session));
  }

  transaction<T>(
    keyspace: string,
    key: ShardKey,
    work: (transaction: LayerTransaction) => Promise<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    const { admission } = this.#context.parts;
    return admission.runWhole(() => this.#transactions.run(keyspace, key, work, options));
  }

  async emit(event: string, payload: unknown): Promise<InvalidationReport> {
    const definition = this.#config.events[event];
    const checked = await checkPayload(event, definition?.payload, payload);
    const transaction = this.#context.transaction();
    const isStale = definition === undefined || definition.invalidates.length > 0;
    const records = isStale ? this.cache.recordsOf(event, checked) : [];
    if (transaction === undefined) {
      const marked = records.map((record) =>
        record.keys === undefined ? record : { ...record, freshness: 'now' },
      );
      const report = await this.cache.apply(marked);
      this.cache.anticipate(event, checked);
      return report;
    }
    transaction.invalidate(records);
    return { acknowledged: false, waitingFor: ['commit'] };
  }

  drizzle<Database extends object>(
    key: ShardKey,
    factory: DrizzleFactory<Database>,
    keyspace?: string,
  ): Database {
    return this.#builders.drizzle(key, factory, keyspace);
  }

  kysely<Database extends object>(
    key: ShardKey,
    module: KyselyModule<Database>,
    keyspace?: string,
  ): Database {
    return this.#builders.kysely(key, module, keyspace);
  }

  health(): DataLayerHealth {
    const isLeaving = this.#closing !== undefined;
    const router = this.router.health();
    const reasons = [
      ...(isLeaving ? ['the layer is being closed'] : []),
      ...router.shards
        .filter(({ checked }) => !checked && !router.ready)
        .map(({ name }) => `shard '${name}' has not answered yet`),
    ];
    return {
      live: !this.#isClosed,
      ready: !isLeaving && router.ready,
      reasons,
      router,
      cache: this.#parts.cache?.health(),
      limits: this.#parts.limiter?.health(),
    };
  }

  stats(): DataLayerStats {
    return Object.fromEntries(
      this.#cached.map((name) => {
        const { l1Hits, l2Hits, l3Hits, misses, loads } = this.cache.namespace(name).stats();
        return [name, { lookups: l1Hits + misses, l1: l1Hits, l2: l2Hits, l3: l3Hits, loads }];
      }),
    );
  }

  close(options: CloseOptions = {}): Promise<CloseReport> {
    this.#closing ??= this.#close(options);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close({ deadline, readinessDelay, servers = [] }: CloseOptions): Promise<CloseReport> {
    const { clock, limiter, entityLimiter, cache, pools } = this.#parts;
    const report = await closeInOrder({
      timeoutMs: durationMs(deadline ?? DEFAULT_CLOSE, 'deadline'),
      readinessDelayMs: durationMs(readinessDelay ?? '0ms', 'readinessDelay'),
      servers,
      clock,
      admission: this.#context.parts.admission,
      outbox: this.#outbox,
      limiters: [limiter, entityLimiter].filter((one) => one !== undefined),
      cache,
      router: this.router,
      pools: [...pools.values()],
    });
    this.#isClosed = true;
    return report;
  }

  #openOutbox(): Outbox | undefined {
    const { cache, relayInterval, pools, clock } = this.#parts;
    if (cache === undefined || relayInterval === undefined) return undefined;
    return new Outbox({
      layer: this.name,
      pools,
      cache,
      knows: (namespace) => this.#cached.includes(namespace),
      relayInterval,
      clock,
    });
  }

  #makeEntity(
    name: string,
    definition: ResolvedEntity,
    recentWrites: RecentWrites | undefined,
  ): Entity {
    const { table, key, id, schema, invalidates, limits } = definition;
    const { cache, entityLimiter } = this.#parts;
    const limited = (['reads', 'writes'] as const).filter((kind) => limits[kind] !== undefined);
    return new TableEntity({
      context: this.#context,
      transactions: this.#transactions,
      table: { entity: name, table, key, id },
      source: this.#sourceOf(name, definition),
      schema: schema as StandardSchemaV1<unknown, Record<string, unknown>> | undefined,
      cache: this.#namespaceOf(name, definition),
      cachesWrites: definition.cache?.afterWrite !== 'invalidate',
      recentWrites,
      limits: new EntityLimits(name, entityLimiter, new Set(limited)),
      rules: cache && new RowRules(name, invalidates, (event, row) => cache.recordsOf(event, row)),
      isMadeStaleByPattern: isMadeStaleByPattern(this.#config, name),
    }) as unknown as Entity;
  }

  #namespaceOf(
    name: string,
    { cache, id }: ResolvedEntity,
  ): CacheNamespace<CachedRow<Record<string, unknown>>> | undefined {
    if (cache === undefined) return undefined;
    const { ttl, tiers = ['l1', 'l2'], afterWrite: _ours, ...policy } = cache;
    return this.cache.namespace(name, {
      ...policy,
      ttl: `${ttl}ms`,
      tiers,
      // Rows hold big integers and dates, which JSON does not.
      codec: 'msgpack',
      // Whoever invalidates by hand does not know where the change ended: the next load asks a primary.
      freshness: 'now',
      ...(id === undefined ? {} : { keys: '{key}:{id}' }),
    });
  }

  #sourceOf(name: string, { keyspace, shard }: ResolvedEntity): EntitySource {
    const { router, pools, issuer } = this.#parts;
    const prepared = this.#prepared;
    if (keyspace !== undefined) return new ShardedSource(router.keyspace(keyspace), prepared);
    if (shard !== undefined)
      return new UnshardedSource(shard, pools.get(shard) as ReplicaPool, name, prepared);
    // Processes spread themselves over the shards, each at home on one.
    const names = [...pools.keys()];
    const home = names[Number.parseInt(issuer.slice(0, 8), 16) % names.length] as string;
    return new ReferenceSource(router, home, pools.get(home) as ReplicaPool, name, prepared);
  }

  #absent(what: string, remedy: string): never {
    throw new ShardlineError(
      coreErrors.CONFIG_INVALID,
      `The data layer was configured without ${what}.`,
      { remedy: `${remedy} in its configuration.` },
    );
  }
}

function sessionContextOf(config: ResolvedConfig, parts: OpenedParts): SessionContext {
  const { owner, pools, router, clock, issuer } = parts;
  return {
    owner,
    pools,
    shardOf: new Map([...pools].map(([shard, pool]) => [pool as unknown as object, shard])),
    epoch: () => router.topology.epoch,
    clock,
    signingKeys: config.sessions.signingKeys,
    tokenLifetimeMs: config.sessions.tokenLifetime,
    issuer,
  };
}

/** Marks of writes, for entities that no tier keeps them for. */
function recentWritesOf(config: ResolvedConfig, clock: Clock): ReadonlyMap<string, RecentWrites> {
  const alone = Object.entries(config.entities).filter(([, { cache }]) => {
    const tiers = cache?.tiers ?? ['l1', 'l2'];
    return cache !== undefined && !tiers.includes('l2') && !tiers.includes('l3');
  });
  return new Map(alone.map(([name]) => [name, new RecentWrites(clock)]));
}

/** Whether some rule makes rows of an entity stale by a pattern or a tag. */
function isMadeStaleByPattern({ events, entities }: ResolvedConfig, name: string): boolean {
  const targets = [...Object.values(events), ...Object.values(entities)].flatMap(
    ({ invalidates }) => invalidates,
  );
  return targets.some((target) => {
    const [, namespace, mark, rest = ''] = /^([^:#]+)([:#])(.*)$/s.exec(target) ?? [];
    return namespace === name && (mark === '#' || rest.split(':').includes('*'));
  });
}

function mapValues<Value, Result>(
  values: Readonly<Record<string, Value>>,
  toResult: (name: string, value: Value) => Result,
): Readonly<Record<string, Result>> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, toResult(name, value)]),
  );
}
