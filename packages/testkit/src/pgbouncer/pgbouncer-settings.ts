import type { Endpoint } from '../server/server.js';

/** How long a server connection is lent: for one transaction, a client's whole stay, one statement. */
export type PoolMode = 'transaction' | 'session' | 'statement';

export type PgBouncerSettings = Readonly<Record<string, string | number>>;

/** Names that its configuration takes: older releases know no quotes there. */
export const DATABASE_NAME = /^[A-Za-z0-9_.-]+$/;

/** A database as clients name it, and where it is. `*` stands for every other name. */
export type Databases = Readonly<
  Record<string, { readonly endpoint: Endpoint; readonly database?: string }>
>;

const DEFAULT_SETTINGS: PgBouncerSettings = {
  listen_addr: '127.0.0.1',
  unix_socket_dir: '',
  // Whoever is in the file of users may come in; its passwords are for the servers behind.
  auth_type: 'trust',
  admin_users: 'postgres',
  max_client_conn: 1000,
  default_pool_size: 20,
  ignore_startup_parameters: 'extra_float_digits',
  // Tests restart what is behind it and do not want to wait the usual 15 seconds.
  server_login_retry: 1,
};

/** The text of pgbouncer.ini. Pure. */
export function renderPgBouncer(
  place: { readonly folder: string; readonly port: number },
  databases: Databases,
  poolMode: PoolMode,
  settings: PgBouncerSettings,
): string {
  const all = {
    ...DEFAULT_SETTINGS,
    pool_mode: poolMode,
    ...settings,
    listen_port: place.port,
    auth_file: `${place.folder}/users.txt`,
  };
  const lines = Object.entries(databases).map(([name, { endpoint, database }]) => {
    const target = `host=${endpoint.host} port=${endpoint.port}`;
    return `${name} = ${target}${database === undefined ? '' : ` dbname=${quoteValue(database)}`}`;
  });
  const values = Object.entries(all).map(([name, value]) => `${name} = ${value}`);
  return `[databases]\n${lines.join('\n')}\n\n[pgbouncer]\n${values.join('\n')}\n`;
}

/** The text of the file of users. Pure. */
export function renderUsers(users: Readonly<Record<string, string>>): string {
  return Object.entries(users)
    .map(([name, password]) => `"${double(name)}" "${double(password)}"\n`)
    .join('');
}

function double(text: string): string {
  return text.replaceAll('"', '""');
}

function quoteValue(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}
