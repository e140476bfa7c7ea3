import type { ShardKey } from '@shardline/shard-router';
import type pg from 'pg';
import type { DrizzleFactory, KyselyModule } from './data-layer.js';
import type { LayerContext } from './layer-context.js';

/**
 * Query builders over the pools of shards. One is made per shard and factory and kept; inside a transaction
 * one is made on its connection, and kept with that.
 */
export class QueryBuilders {
  readonly #context: LayerContext;
  readonly #made = new WeakMap<object, WeakMap<object, object>>();

  constructor(context: LayerContext) {
    this.#context = context;
  }

  drizzle<Database extends object>(
    key: ShardKey,
    factory: DrizzleFactory<Database>,
    keyspace: string | undefined,
  ): Database {
    return this.#keep(factory, this.#clientFor(key, keyspace), (client) => factory(client));
  }

  kysely<Database extends object>(
    key: ShardKey,
    { Kysely, PostgresDialect }: KyselyModule<Database>,
    keyspace: string | undefined,
  ): Database {
    return this.#keep(Kysely, this.#clientFor(key, keyspace), (client) => {
      const dialect = new PostgresDialect({ pool: poolOf(client) } as never);
      return new Kysely({ dialect } as never);
    });
  }

  #keep<Database extends object>(
    maker: object,
    client: pg.Pool | pg.PoolClient,
    make: (client: pg.Pool) => Database,
  ): Database {
    let ofMaker = this.#made.get(maker);
    if (ofMaker === undefined) {
      ofMaker = new WeakMap();
      this.#made.set(maker, ofMaker);
    }
    const known = ofMaker.get(client);
    if (known !== undefined) return known as Database;
    const made = make(client as pg.Pool);
    ofMaker.set(client, made);
    return made;
  }

  /** The connection of the transaction at hand, else the pool of the shard that owns the key. */
  #clientFor(key: ShardKey, keyspace: string | undefined): pg.Pool | pg.PoolClient {
    const { router } = this.#context.parts;
    const shards = keyspace === undefined ? router : router.keyspace(keyspace);
    const transaction = this.#context.transaction();
    if (transaction === undefined) return shards.shard(key);
    // Refuses a key of another shard.
    shards.shard(key);
    if (keyspace === undefined || keyspace === transaction.keyspace) transaction.using(key);
    return transaction.client;
  }
}

/** A connection in the shape of a pool that lends nothing else, for builders that want a pool. */
function poolOf(client: pg.Pool | pg.PoolClient) {
  if (!('release' in client)) return client;
  return {
    connect: async () => ({
      query: (...args: unknown[]) => (client.query as (...all: unknown[]) => unknown)(...args),
      release: () => {
        // The transaction gives it back.
      },
    }),
    end: async () => {},
  };
}
