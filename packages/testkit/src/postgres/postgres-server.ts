import {
  checkOptions,
  type Duration,
  quoteIdentifier,
  quoteLiteral,
  ShardlineError,
} from '@shardline/core';
import { Client, type QueryResult, type QueryResultRow } from 'pg';
import { testkitErrors } from '../errors.js';
import { DelegatingServer } from '../server/delegating-server.js';
import { startOnFreePort } from '../server/free-port.js';
import type { Backend, Server } from '../server/server.js';
import { waitUntil } from '../server/wait-until.js';
import { type ReplicaOptions, replicaOptionsSchema } from './postgres-options.js';
import { type PostgresDescription, postgresSpec, replicaOf } from './postgres-spec.js';
import { type PostgresSettings, replicaSettings } from './settings.js';
import { synchronousStandbyNames } from './synchronous-standbys.js';

/** Longest wait for a connection and for an answer: a frozen server must not hang a test. */
const CONNECT_WITHIN_MS = 10_000;
const ANSWER_WITHIN_MS = 60_000;

/** Which database, user and password a connection string names. */
export interface ConnectionTarget {
  /** @default the one named at the start */
  readonly database?: string;
  /** @default 'postgres' */
  readonly user?: string;
  readonly password?: string;
}

/** What a PostgresServer is made of. */
export interface PostgresParts {
  readonly server: Server;
  readonly backend: Backend;
  readonly description: PostgresDescription;
  readonly database: string;
  readonly dataFolder: () => string;
  /** Set for a replica: whom it streams from, by which slot. */
  readonly source?: ReplicationSource;
}

interface ReplicationSource {
  readonly primary: PostgresServer;
  readonly slot: string;
}

/**
 * A PostgreSQL that tests can hurt: a primary, or a replica that streams from one until promote().
 *
 * @example
 * ```ts
 * import { startPostgres } from '@shardline/testkit';
 *
 * await using primary = await startPostgres({ name: 'bets' });
 * await using replica = await primary.addReplica();
 * await primary.query('CREATE TABLE bet (id bigint PRIMARY KEY, stake int)');
 * await primary.query('INSERT INTO bet VALUES ($1, $2)', [1, 250]);
 * await primary.waitForReplica(replica);
 * const { rows } = await replica.query('SELECT stake FROM bet');
 * ```
 */
export class PostgresServer extends DelegatingServer {
  readonly #parts: PostgresParts;
  readonly #replicas: PostgresServer[] = [];
  readonly #synchronous = new Set<string>();
  #source: ReplicationSource | undefined;
  #isStopping = false;
  #replicasMade = 0;

  constructor(parts: PostgresParts) {
    super(parts.server);
    this.#parts = parts;
    this.#source = parts.source;
  }

  /** Its database, as superuser. */
  get url(): string {
    return this.connectionString();
  }

  /** The database that `url` names. */
  get database(): string {
    return this.#parts.database;
  }

  /** Replicas that were added here and neither stopped nor led to another primary. */
  get replicas(): readonly PostgresServer[] {
    return [...this.#replicas];
  }

  connectionString(target: ConnectionTarget = {}): string {
    const url = new URL(`postgresql://${this.host}:${this.port}`);
    url.username = encodeURIComponent(target.user ?? 'postgres');
    url.password = encodeURIComponent(target.password ?? '');
    url.pathname = `/${encodeURIComponent(target.database ?? this.database)}`;
    return url.href;
  }

  /** One statement as superuser, over a connection of its own that is closed afterwards. */
  query<Row extends QueryResultRow = QueryResultRow>(
    sql: string,
    parameters: readonly unknown[] = [],
    target: ConnectionTarget = {},
  ): Promise<QueryResult<Row>> {
    return this.withClient((client) => client.query<Row>(sql, [...parameters]), target);
  }

  /** Several statements on one connection, which is closed afterwards. */
  async withClient<T>(
    work: (client: Client) => Promise<T>,
    target: ConnectionTarget = {},
  ): Promise<T> {
    const client = new Client({
      connectionString: this.connectionString(target),
      application_name: 'shardline-testkit',
      connectionTimeoutMillis: CONNECT_WITHIN_MS,
      query_timeout: ANSWER_WITHIN_MS,
    });
    // Whatever it is, the running query's promise tells it too; unheard it would end the process.
    client.on('error', () => {});
    try {
      await client.connect();
      return await work(client);
    } finally {
      await client.end();
    }
  }

  /** Makes a database and gives its connection string. */
  async createDatabase(name: string): Promise<string> {
    await this.query(`CREATE DATABASE ${quoteIdentifier(name)}`, [], { database: 'postgres' });
    return this.connectionString({ database: name });
  }

  /** Whether it is a replica at this moment. */
  async isInRecovery(): Promise<boolean> {
    const { rows } = await this.query<{ in_recovery: boolean }>(
      'SELECT pg_is_in_recovery() AS in_recovery',
    );
    return rows[0]?.in_recovery === true;
  }

  /** How far its log reaches: written on a primary, replayed on a replica. */
  async position(): Promise<string> {
    const { rows } = await this.query<{ position: string }>(
      `SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                   ELSE pg_current_wal_lsn() END::text AS position`,
    );
    return rows[0]?.position ?? '';
  }

  /** The timeline that it writes (or replays); a promotion raises it by one. */
  async timeline(): Promise<number> {
    const { rows } = await this.query<{ timeline: number }>(
      `SELECT CASE WHEN pg_is_in_recovery()
                THEN greatest((SELECT received_tli FROM pg_stat_wal_receiver),
                              (SELECT timeline_id FROM pg_control_checkpoint()))
                ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int
              END AS timeline`,
    );
    return rows[0]?.timeline ?? 0;
  }

  /**
   * Starts a streaming replica of this primary. It streams when this resolves.
   *
   * @throws ShardlineError `CONFIG_INVALID`, `TESTKIT_SERVER_STATE` if this is a replica itself,
   * `TESTKIT_NOT_READY`.
   */
  async addReplica(options: ReplicaOptions = {}): Promise<PostgresServer> {
    const checked = checkOptions(replicaOptionsSchema, options, `addReplica of ${this.name}`);
    await this.#expectPrimary('add a replica to it');
    this.#replicasMade += 1;
    const name = checked.name ?? `${this.name}-replica-${this.#replicasMade}`;
    const source = await this.#makeSlot(name);
    let replica: PostgresServer | undefined;
    try {
      replica = await this.#startReplica(name, source, checked);
      await this.#untilStreaming(name);
      if (checked.synchronous) await this.#setSynchronous(name, true);
    } catch (error) {
      await replica?.stop();
      if (replica === undefined) await this.#dropSlot(source.slot);
      throw error;
    }
    this.#replicas.push(replica);
    return replica;
  }

  /** Makes a replica a primary of a new timeline. Its former primary, if alive, knows nothing of it. */
  async promote(): Promise<void> {
    if (!(await this.isInRecovery()))
      throw this.#stateError('is no replica that could be promoted');
    await this.query('SELECT pg_promote(wait => true, wait_seconds => 60)');
    await waitUntil(async () => !(await this.isInRecovery()), {
      what: `${this.name} to leave recovery`,
      within: '60s',
    });
  }

  /**
   * Makes a replica stream from another primary, without a restart: as after a promotion. It has
   * replayed a record of that primary when this resolves. A replica that had received more than the
   * new primary has never does: see `furthestFirst`.
   */
  async follow(primary: PostgresServer): Promise<void> {
    if (!(await this.isInRecovery())) throw this.#stateError('is no replica that could follow');
    const former = this.#source;
    const source = await primary.#makeSlot(this.name);
    await this.#alterSystem({
      primary_conninfo: primary.#conninfoFor(this.name),
      primary_slot_name: source.slot,
    });
    this.#source = source;
    // It streams what both histories share before it finds out that they part.
    await primary.#untilStreaming(this.name);
    await primary.waitForReplica(this);
    primary.#replicas.push(this);
    if (former !== undefined) await former.primary.#forgetReplica(this, former.slot);
  }

  /** Waits until a replica has replayed everything that was committed here before this call. */
  async waitForReplica(
    replica: PostgresServer,
    options: { readonly within?: Duration; readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    const position = await this.#positionWithMark();
    await waitUntil(
      async () => {
        const { rows } = await replica.query<{ reached: boolean }>(
          'SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS reached',
          [position],
        );
        return rows[0]?.reached;
      },
      { what: `${replica.name} to replay ${position} of ${this.name}`, ...options },
    );
  }

  override async stop(): Promise<void> {
    if (this.#isStopping) return super.stop();
    this.#isStopping = true;
    await super.stop();
    const source = this.#source;
    if (source !== undefined) await source.primary.#forgetReplica(this, source.slot);
  }

  /**
   * A position that a replica passes although nobody writes any more. The end of the log may lie at
   * the start of a page, behind a header that replay has not counted yet; a record after it settles
   * that. Its commit does not wait for synchronous replicas, which may be the ones that are down.
   */
  #positionWithMark(): Promise<string> {
    return this.withClient(async (client) => {
      await client.query('SET synchronous_commit = local');
      const { rows } = await client.query<{ position: string }>(
        'SELECT pg_current_wal_insert_lsn()::text AS position',
      );
      await client.query("SELECT pg_logical_emit_message(true, 'shardline-testkit', '')");
      return rows[0]?.position ?? '';
    });
  }

  async #startReplica(
    name: string,
    source: ReplicationSource,
    options: {
      readonly settings: PostgresSettings;
      readonly applyDelay: Duration;
      readonly signal?: AbortSignal | undefined;
    },
  ): Promise<PostgresServer> {
    const { backend, description, database } = this.#parts;
    const own: PostgresDescription = {
      ...description,
      settings: replicaSettings(description.settings, options.settings, options.applyDelay),
    };
    const origin = replicaOf({
      endpoint: this,
      dataFolder: this.#parts.dataFolder,
      session: (work) => this.withClient(work),
      conninfo: this.#conninfoFor(name),
      slot: source.slot,
    });
    let data = '';
    const onPlaced = (folder: string) => {
      data = folder;
    };
    const { signal } = options;
    const server = await startOnFreePort((port) =>
      backend.start(postgresSpec({ name, port, description: own, origin, signal, onPlaced })),
    );
    const dataFolder = () => data;
    return new PostgresServer({ server, backend, description: own, database, dataFolder, source });
  }

  #conninfoFor(replica: string): string {
    return `host=${this.host} port=${this.port} user=postgres application_name=${replica}`;
  }

  /** Before the copy begins, so that no log it needs is thrown away. */
  async #makeSlot(replica: string): Promise<ReplicationSource> {
    const slot = replica.replaceAll('-', '_');
    await this.query('SELECT pg_create_physical_replication_slot($1, true)', [slot]);
    return { primary: this, slot };
  }

  async #untilStreaming(replica: string): Promise<void> {
    await waitUntil(
      async () => {
        const { rowCount } = await this.query(
          "SELECT 1 FROM pg_stat_replication WHERE application_name = $1 AND state = 'streaming'",
          [replica],
        );
        return rowCount === 1;
      },
      { what: `${replica} to stream from ${this.name}` },
    );
  }

  async #setSynchronous(replica: string, isSynchronous: boolean): Promise<void> {
    if (isSynchronous) this.#synchronous.add(replica);
    else if (!this.#synchronous.delete(replica)) return;
    const names = synchronousStandbyNames(this.#synchronous);
    await this.#alterSystem({ synchronous_standby_names: names });
    await waitUntil(
      async () => {
        const { rows } = await this.query<{ names: string }>(
          "SELECT current_setting('synchronous_standby_names') AS names",
        );
        const { rows: waitedFor } = await this.query<{ name: string }>(
          "SELECT application_name AS name FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')",
        );
        const isWaitedFor = waitedFor.some(({ name }) => name === replica);
        return rows[0]?.names === names && isWaitedFor === isSynchronous;
      },
      { what: `commits on ${this.name} to wait for ${names === '' ? 'nobody' : names}` },
    );
  }

  async #alterSystem(values: Readonly<Record<string, string>>): Promise<void> {
    await this.withClient(async (client) => {
      for (const [name, value] of Object.entries(values)) {
        await client.query(`ALTER SYSTEM SET ${quoteIdentifier(name)} = ${quoteLiteral(value)}`);
      }
      await client.query('SELECT pg_reload_conf()');
    });
  }

  /** A slot without its replica would keep the primary's log for ever, and a synchronous one its commits. */
  async #forgetReplica(replica: PostgresServer, slot: string): Promise<void> {
    const index = this.#replicas.indexOf(replica);
    if (index !== -1) this.#replicas.splice(index, 1);
    if (this.#isStopping || this.state !== 'running') return;
    await this.#setSynchronous(replica.name, false);
    await this.#dropSlot(slot);
  }

  async #dropSlot(slot: string): Promise<void> {
    await waitUntil(
      async () => {
        if (this.#isStopping || this.state !== 'running') return true;
        // Fails while the sender of a replica that has just ended has not noticed it.
        await this.query(
          'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1',
          [slot],
        );
        return true;
      },
      { what: `slot ${slot} on ${this.name} to be dropped`, everyMs: 50 },
    );
  }

  async #expectPrimary(purpose: string): Promise<void> {
    if (await this.isInRecovery()) {
      throw this.#stateError(`is a replica: promote it to ${purpose}`);
    }
  }

  #stateError(fault: string): ShardlineError {
    return new ShardlineError(
      testkitErrors.TESTKIT_SERVER_STATE,
      `PostgreSQL ${this.name} ${fault}.`,
    );
  }
}
