import type { Cache, InvalidationReport } from '@shardline/cache';
import type { RateLimiter } from '@shardline/ratelimit';
import type { Router, ShardKey, TransactionOptions } from '@shardline/shard-router';
import type pg from 'pg';
import type {
  EntityDefinitions,
  EventDefinitions,
  KeyspaceDefinitions,
  NamespaceDefinitions,
} from './config.js';
import type { EntitiesOf, NamespacesOf, PayloadOf } from './infer.js';
import type { CloseOptions } from './lifecycle/close-options.js';
import type { CloseReport } from './lifecycle/close-report.js';
import type { LayerSession, SessionStart } from './session/layer-session.js';
import type { LayerTransaction } from './transaction/layer-transaction.js';

/** How the layer is: `ready` means that it can do its work, `live` that it has not been closed. */
export interface DataLayerHealth {
  /** False once the layer has been closed. */
  readonly live: boolean;
  /** False while a shard cannot be used, and as soon as the layer begins to be closed. */
  readonly ready: boolean;
  /** Why it is not ready. */
  readonly reasons: readonly string[];
  readonly router: ReturnType<Router['health']> | undefined;
  readonly cache: ReturnType<Cache['health']> | undefined;
  readonly limits: ReturnType<RateLimiter['health']> | undefined;
}

/**
 * How often each tier answered, by entity or namespace. `lookups` are hits of L1 and searches below it: whoever joins a
 * search that is under way, or is shown a stale value from memory, is not counted.
 */
export type DataLayerStats = Readonly<
  Record<string, { lookups: number; l1: number; l2: number; l3: number; loads: number }>
>;

/** Makes a query builder over a pool or a connection: `drizzle` of `drizzle-orm/node-postgres`. */
export type DrizzleFactory<Database> = (client: pg.Pool) => Database;

/** What of Kysely is needed: pass `{ Kysely, PostgresDialect }` from `kysely`. */
export interface KyselyModule<Database> {
  readonly Kysely: new (configuration: never) => Database;
  readonly PostgresDialect: new (configuration: never) => unknown;
}

/**
 * The data layer of a service: entities over shards, cache, limits and sessions, opened and closed as one
 * object. Made by `createDataLayer`, and by `createMemoryLayer` of `shardline/testing` without any server.
 */
export interface DataLayer<
  Entities extends EntityDefinitions = EntityDefinitions,
  Keyspaces extends KeyspaceDefinitions = KeyspaceDefinitions,
  Events extends EventDefinitions = EventDefinitions,
  Namespaces extends NamespaceDefinitions = NamespaceDefinitions,
> extends AsyncDisposable {
  /** The name in the configuration. */
  readonly name: string;
  /** The entities of the configuration, by name. */
  readonly entities: EntitiesOf<Entities, Keyspaces>;
  /** The cached queries of the configuration, by name. */
  readonly namespaces: NamespacesOf<Namespaces>;
  /** The shards underneath, for what entities do not do. */
  readonly router: Router;
  /**
   * The cache underneath.
   *
   * @throws ShardlineError `CONFIG_INVALID` when nothing is cached.
   */
  readonly cache: Cache;
  /**
   * The limits of the configuration.
   *
   * @throws ShardlineError `CONFIG_INVALID` when it has none.
   */
  readonly limits: RateLimiter;

  /**
   * Begins a session, or takes one up by the token of the request before. Its reads see its own writes and
   * never an older row than it has seen, in whichever process, from whichever tier or server.
   *
   * @throws ShardlineError `LAYER_TOKEN_MALFORMED`, `LAYER_TOKEN_FORGED`.
   *
   * @example
   * ```ts
   * import type { DataLayer } from 'shardline';
   *
   * declare const layer: DataLayer;
   * declare const tokenOfLastRequest: string | undefined;
   *
   * const session = layer.session(tokenOfLastRequest);
   * await session.run(async () => {
   *   await layer.emit('user.renamed', { userId: 42 });
   * });
   * const token = await session.token(); // for the client's next request
   * ```
   */
  session(token?: string, start?: SessionStart): LayerSession;

  /** Runs work in a session, by its token or as a new one; the session is what gives the next token. */
  runInSession<T>(token: string | undefined, work: (session: LayerSession) => T): T;

  /**
   * Runs work in a transaction on the shard that owns a key. Calls of entities within `work` belong to it;
   * a key of another shard is refused. What the writes make stale is written into the transaction itself, and
   * invalidated once it has committed. If the slot moves meanwhile, `work` runs again, so it must do nothing
   * outside that cannot be done twice.
   *
   * @throws ShardlineError `WRONG_SHARD`, `OUTCOME_UNKNOWN`, `SLOT_HELD`; else what `work` throws.
   */
  transaction<T>(
    keyspace: keyof Keyspaces & string,
    key: ShardKey,
    work: (transaction: LayerTransaction) => Promise<T>,
    options?: TransactionOptions,
  ): Promise<T>;

  /**
   * Makes stale what an event of the configuration names. Inside a transaction this waits for the commit.
   *
   * @throws ShardlineError `CACHE_EVENT_UNKNOWN`, `CACHE_EVENT_PAYLOAD`, `LAYER_EVENT_INVALID`.
   */
  emit<Name extends keyof Events & string>(
    event: Name,
    payload: PayloadOf<Events[Name]>,
  ): Promise<InvalidationReport>;

  /**
   * Drizzle on the shard that owns a key; inside a transaction of the layer, on its connection. One is
   * made per shard and kept.
   *
   * @param keyspace of the key. @default the first one
   *
   * @example
   * ```ts
   * import { drizzle } from 'drizzle-orm/node-postgres';
   * import type { DataLayer } from 'shardline';
   *
   * declare const layer: DataLayer;
   *
   * const db = layer.drizzle(42n, (client) => drizzle(client));
   * await db.execute('SELECT 1');
   * ```
   */
  drizzle<Database extends object>(
    key: ShardKey,
    factory: DrizzleFactory<Database>,
    keyspace?: keyof Keyspaces & string,
  ): Database;

  /**
   * Kysely on the shard that owns a key; inside a transaction of the layer, on its connection.
   *
   * @param keyspace of the key. @default the first one
   *
   * @example
   * ```ts
   * import { Kysely, PostgresDialect } from 'kysely';
   * import type { DataLayer } from 'shardline';
   *
   * interface Tables {
   *   users: { user_id: string; name: string };
   * }
   * declare const layer: DataLayer;
   *
   * const db = layer.kysely(42n, { Kysely: Kysely<Tables>, PostgresDialect });
   * await db.selectFrom('users').selectAll().where('user_id', '=', '42').executeTakeFirst();
   * ```
   */
  kysely<Database extends object>(
    key: ShardKey,
    module: KyselyModule<Database>,
    keyspace?: keyof Keyspaces & string,
  ): Database;

  /** For a readiness probe: asks nobody, tells what is known. */
  health(): DataLayerHealth;

  /** How often each tier answered since the start, by entity and namespace that is cached. */
  stats(): DataLayerStats;

  /**
   * Ends the layer in order: nothing new is admitted, calls under way end, what is queued is flushed, leases
   * are given back, connections are closed.
   *
   * @returns what was done and how long it took. It never throws.
   */
  close(options?: CloseOptions): Promise<CloseReport>;
}
