import { checkOptions } from '@shardline/core';
import { Client } from 'pg';
import * as v from 'valibot';
import { PostgresServer } from '../postgres/postgres-server.js';
import { chooseBackend } from '../server/choose-backend.js';
import { DelegatingServer } from '../server/delegating-server.js';
import { startOnFreePort } from '../server/free-port.js';
import type { Endpoint, Server } from '../server/server.js';
import { serverNameOption } from '../server/server-name.js';
import {
  DATABASE_NAME,
  type Databases,
  type PgBouncerSettings,
  type PoolMode,
  renderPgBouncer,
  renderUsers,
} from './pgbouncer-settings.js';

/** How a PgBouncer is started. */
export interface PgBouncerOptions {
  /** The server behind it, for every database name; or servers by the name that clients use. */
  readonly target: PostgresServer | Readonly<Record<string, PostgresServer>>;
  /** @default 'pgbouncer' */
  readonly name?: string;
  /** @default 'transaction' */
  readonly poolMode?: PoolMode;
  /** Settings of pgbouncer.ini, over the kit's. */
  readonly settings?: PgBouncerSettings;
  /** Further users that may come in, with the passwords by which the servers know them. */
  readonly users?: Readonly<Record<string, string>>;
  /** Gives up a start that is under way. */
  readonly signal?: AbortSignal;
}

const databaseName = v.pipe(v.string(), v.regex(DATABASE_NAME));

const schema = v.strictObject({
  target: v.union(
    [v.instance(PostgresServer), v.record(databaseName, v.instance(PostgresServer))],
    'must be a PostgresServer, or several by database name (letters, digits, _ . -)',
  ),
  name: v.optional(serverNameOption, 'pgbouncer'),
  poolMode: v.optional(v.picklist(['transaction', 'session', 'statement']), 'transaction'),
  settings: v.optional(v.record(v.string(), v.union([v.string(), v.number()])), {}),
  users: v.optional(v.record(v.string(), v.string()), {}),
  signal: v.optional(v.instance(AbortSignal)),
});

/** A PgBouncer before one or several PostgreSQL servers. */
export class PgBouncerServer extends DelegatingServer {
  readonly #database: string;

  constructor(server: Server, database: string) {
    super(server);
    this.#database = database;
  }

  /** Through the pooler to its first target's database, as superuser. */
  get url(): string {
    return this.urlOf(this.#database);
  }

  /** Through the pooler to a database, by the name that it has here. */
  urlOf(database: string, user = 'postgres'): string {
    const name = encodeURIComponent(database);
    return `postgresql://${encodeURIComponent(user)}@${this.host}:${this.port}/${name}`;
  }
}

/**
 * Starts a PgBouncer, in transaction mode unless told otherwise.
 *
 * @throws ShardlineError `CONFIG_INVALID`, `TESTKIT_BINARY_MISSING`, `TESTKIT_NOT_READY`.
 *
 * @example
 * ```ts
 * import { startPgBouncer, startPostgres } from '@shardline/testkit';
 *
 * await using postgres = await startPostgres();
 * await using pooler = await startPgBouncer({ target: postgres });
 * console.log(pooler.url);
 * ```
 */
export async function startPgBouncer(options: PgBouncerOptions): Promise<PgBouncerServer> {
  const { target, name, poolMode, settings, users, signal } = checkOptions(
    schema,
    options,
    'startPgBouncer',
  );
  const databases = databasesOf(target);
  const backend = await chooseBackend('pgbouncer');
  const server = await startOnFreePort((port) =>
    backend.start({
      kind: 'pgbouncer',
      name,
      port,
      command: (place) => [place.binary('pgbouncer'), `${place.folder}/pgbouncer.ini`],
      files: (place) => ({
        'pgbouncer.ini': renderPgBouncer(place, databases, poolMode, settings),
        'users.txt': renderUsers({ postgres: '', ...users }),
      }),
      // Transactions that run may end; SIGTERM means different things to different releases.
      shutdownSignal: 'SIGINT',
      isReady: answersAdministrator,
      ...(signal === undefined ? {} : { signal }),
    }),
  );
  const first = target instanceof PostgresServer ? target.database : Object.keys(target)[0];
  return new PgBouncerServer(server, first ?? 'postgres');
}

function databasesOf(target: PgBouncerOptions['target']): Databases {
  if (target instanceof PostgresServer) return { '*': { endpoint: target } };
  return Object.fromEntries(
    Object.entries(target).map(([name, server]) => [
      name,
      { endpoint: server, database: server.database },
    ]),
  );
}

/** Its own console answers whether or not the servers behind it do. */
async function answersAdministrator({ host, port }: Endpoint): Promise<boolean> {
  const client = new Client({
    host,
    port,
    user: 'postgres',
    database: 'pgbouncer',
    password: '',
    connectionTimeoutMillis: 5_000,
    query_timeout: 5_000,
  });
  // Also told by the promise below; without a listener it would end the process.
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('SHOW VERSION');
    return true;
  } finally {
    await client.end();
  }
}
