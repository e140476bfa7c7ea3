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

  constructor(router: KeyspaceRouter) {
    this.router = router;
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
    const rows = await this.router.byKeys<Columns>(keys as readonly ShardKey[], text, {
      keyColumn,
      params,
      ...call,
    });
    // Several names may share a key, whose rows then come with each of them.
    return rows.length === 1 ? (rows[0] as Columns[]) : [...new Set(rows.flat())];
  }

  query(key: Key, text: string, values: readonly unknown[], call: SourceCall) {
    return this.router.query(key as ShardKey, text, values, call);
  }

  write(key: Key, text: string, values: readonly unknown[], call: SourceCall) {
    return this.router.query(key as ShardKey, text, values, call);
  }

  scatter<Row extends object>(text: string, values: readonly unknown[], options: ScatterOptions) {
    return this.router.scatter<Row>(text, values, options);
  }
}

/** Rows that are all on one shard. */
export class UnshardedSource implements EntitySource {
  readonly kind = 'unsharded';
  readonly keyspace = undefined;

  constructor(
    private readonly shard: string,
    private readonly pool: ReplicaPool,
    private readonly entity: string,
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
    return (await queryPool(this.pool, text, [keys.map(plain), ...params], call)).rows;
  }

  query(_key: Key, text: string, values: readonly unknown[], call: SourceCall) {
    return queryPool(this.pool, text, values, call);
  }

  write(_key: Key, text: string, values: readonly unknown[], call: SourceCall) {
    return queryPool(this.pool, text, values, call);
  }

  scatter<Row extends object>(): ScatterRows<Row> {
    throw onOneShard(this.entity, 'is on one shard');
  }
}

/** Rows that every shard has. Each process reads them from one shard, so that positions can be compared. */
export class ReferenceSource implements EntitySource {
  readonly kind = 'reference';
  readonly keyspace = undefined;

  constructor(
    private readonly router: Router,
    private readonly home: string,
    private readonly pool: ReplicaPool,
    private readonly entity: string,
  ) {}

  canonical(key: Key): string {
    return String(key);
  }

  shardOf(): string {
    return this.home;
  }

  async read(
    keys: readonly Key[],
    text: string,
    params: readonly unknown[],
    _keyColumn: string,
    call: SourceCall,
  ): Promise<Columns[]> {
    return (await queryPool(this.pool, text, [keys.map(plain), ...params], call)).rows;
  }

  query(_key: Key, text: string, values: readonly unknown[], call: SourceCall) {
    return queryPool(this.pool, text, values, call);
  }

  write(_key: Key, text: string, values: readonly unknown[]) {
    return this.router.reference.write(text, values);
  }

  scatter<Row extends object>(): ScatterRows<Row> {
    throw onOneShard(this.entity, 'is the same on every shard');
  }
}

function queryPool(
  pool: ReplicaPool,
  text: string,
  values: readonly unknown[],
  { signal }: SourceCall,
): Promise<pg.QueryResult> {
  return pool.query({ text, values: values as unknown[], signal } as pg.QueryConfig);
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
