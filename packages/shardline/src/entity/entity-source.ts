import type { ReplicaPool } from '@shardline/pool';
import type {
  KeyspaceRouter,
  Router,
  ScatterOptions,
  ScatterRows,
  ShardKey,
} from '@shardline/shard-router';
import type pg from 'pg';
import { layerError } from '../errors.js';
import type { Key } from './entity.js';
import type { PreparedTexts } from './prepared-texts.js';
import type { Columns } from './statements.js';

/** What a call may be given up by. */
export interface SourceCall {
  readonly signal?: AbortSignal | undefined;
}

/** Where the rows of an entity are, and how they are reached there. */
export interface EntitySource {
  readonly kind: 'sharded' | 'unsharded' | 'reference';
  /** The keyspace of a sharded entity. */
  readonly keyspace: string | undefined;
  /** The one text of a key. @throws ShardlineError `KEY_INVALID`. */
  canonical(key: Key): string;
  /** The shard that the rows of a key are read from, by the topology in force. */
  shardOf(key: Key): string;
  /** Reads rows of many keys. */
  read(
    keys: readonly Key[],
    text: string,
    params: readonly unknown[],
    keyColumn: string,
    call: SourceCall,
  ): Promise<Columns[]>;
  /** Runs one statement where the rows of a key are. */
  query(
    key: Key,
    text: string,
    values: readonly unknown[],
    call: SourceCall,
  ): Promise<pg.QueryResult>;
  /** Runs a write where the rows of a key are; of a reference table, everywhere. */
  write(
    key: Key,
    text: string,
    values: readonly unknown[],
    call: SourceCall,
  ): Promise<pg.QueryResult>;
  scatter<Row extends object>(
    text: string,
    values: readonly unknown[],
    options: ScatterOptions,
  ): ScatterRows<Row>;
}

/** Rows spread over shards by their key. */
export class ShardedSource implements EntitySource {
  readonly kind = 'sharded';
  readonly keyspace: string;
  readonly router: KeyspaceRouter;
  readonly #prepared: PreparedTexts;

  constructor(router: KeyspaceRouter, prepared: PreparedTexts) {
    this.router = router;
    this.#prepared = prepared;
    this.keyspace = router.name;
  }

  canonical(key: Key): string {
    // Hashing refuses what is no key of this keyspace.
    this.router.slotOf(key as ShardKey);
    return this.router.keyspace.canonical(key as ShardKey);
  }

  shardOf(key: Key): string {
    return this.router.topology.ownerOf(this.router.slotOf(key as ShardKey));
  }

  async read(
    keys: readonly Key[],
    text: string,
    params: readonly unknown[],
    keyColumn: string,
    call: SourceCall,
  ): Promise<Columns[]> {
    const rows = await this.#prepared.run(text, (name) =>
      this.router.byKeys<Columns>(keys as readonly ShardKey[], text, {
        keyColumn,
        params,
        name,
        ...call,
      }),
    );
    // Several names may share a key, whose rows then come with each of them.
    return rows.length === 1 ? (rows[0] as Columns[]) : [...new Set(rows.flat())];
  }

  query(key: Key, text: string, values: readonly unknown[], call: SourceCall) {
    return this.router.query(key as ShardKey, text, values, call);
  }

  write(key: Key, text: string, values: readonly unknown[], call: SourceCall) {
    return this.#prepared.run(text, (name) =>
      this.router.query(key as ShardKey, text, values, { name, ...call }),
    );
  }

  scatter<Row extends object>(text: string, values: readonly unknown[], options: ScatterOptions) {
    return this.router.scatter<Row>(text, values, options);
  }
}

/** Rows that are read from one shard's pool, whatever the key. */
abstract class OneShardSource implements EntitySource {
  abstract readonly kind: 'unsharded' | 'reference';
  readonly keyspace = undefined;

  constructor(
    protected readonly shard: string,
    protected readonly pool: ReplicaPool,
    protected readonly entity: string,
    protected readonly prepared: PreparedTexts,
  ) {}

  canonical(key: Key): string {
    return String(key);
  }

  shardOf(): string {
    return this.shard;
  }

  async read(
    keys: readonly Key[],
    text: string,
    params: readonly unknown[],
    _keyColumn: string,
    call: SourceCall,
  ): Promise<Columns[]> {
    return (await this.runPrepared(text, [keys.map(plain), ...params], call)).rows;
  }

  query(_key: Key, text: string, values: readonly unknown[], call: SourceCall) {
    return queryPool(this.pool, { text, values }, call);
  }

  abstract write(
    key: Key,
    text: string,
    values: readonly unknown[],
    call: SourceCall,
  ): Promise<pg.QueryResult>;

  abstract scatter<Row extends object>(): ScatterRows<Row>;

  protected runPrepared(text: string, values: readonly unknown[], call: SourceCall) {
    return this.prepared.run(text, (name) => queryPool(this.pool, { name, text, values }, call));
  }
}

/** Rows that are all on one shard. */
export class UnshardedSource extends OneShardSource {
  readonly kind = 'unsharded';

  write(_key: Key, text: string, values: readonly unknown[], call: SourceCall) {
    return this.runPrepared(text, values, call);
  }

  scatter<Row extends object>(): ScatterRows<Row> {
    throw onOneShard(this.entity, 'is on one shard');
  }
}

/** Rows that every shard has. Each process reads them from one shard, so that positions can be compared. */
export class ReferenceSource extends OneShardSource {
  readonly kind = 'reference';
  readonly #router: Router;

  constructor(
    router: Router,
    home: string,
    pool: ReplicaPool,
    entity: string,
    prepared: PreparedTexts,
  ) {
    super(home, pool, entity, prepared);
    this.#router = router;
  }

  write(_key: Key, text: string, values: readonly unknown[]) {
    return this.#router.reference.write(text, values);
  }

  scatter<Row extends object>(): ScatterRows<Row> {
    throw onOneShard(this.entity, 'is the same on every shard');
  }
}

function queryPool(
  pool: ReplicaPool,
  statement: {
    readonly name?: string | undefined;
    readonly text: string;
    readonly values: readonly unknown[];
  },
  { signal }: SourceCall,
): Promise<pg.QueryResult> {
  return pool.query({ ...statement, values: [...statement.values], signal } as pg.QueryConfig);
}

function onOneShard(entity: string, why: string) {
  return layerError(
    'ENTITY_PLACEMENT',
    `The entity '${entity}' ${why}, so there is nothing to scatter.`,
    { remedy: 'Use `query`.' },
  );
}

/** An array of big integers goes to the server as decimal texts. */
function plain(value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
