import { appendFile, chown, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import type { Endpoint, LocalPlace, ServerPlace, ServerSpec } from '../server/server.js';
import { copyByBackup } from './base-backup.js';
import {
  type PostgresAuthentication,
  type PostgresSettings,
  quoteSetting,
  renderAccess,
  renderSettings,
} from './settings.js';
import { copyTemplate, INITDB_ARGUMENTS } from './template.js';

/** What makes one PostgreSQL different from another; a replica takes most of it from its primary. */
export interface PostgresDescription {
  readonly version: number | undefined;
  readonly settings: PostgresSettings;
  readonly durable: boolean;
  readonly authentication: PostgresAuthentication;
}

/** Where a data folder comes from: natively by a function, in a container by a script. */
export interface DataOrigin {
  seed(place: LocalPlace, data: string): Promise<void>;
  seedScript(place: ServerPlace, data: string): string;
}

/** A fresh, empty cluster. */
export const freshCluster: DataOrigin = {
  seed: copyTemplate,
  seedScript: (place, data) =>
    `${place.binary('initdb')} ${INITDB_ARGUMENTS.join(' ')} ${data} >/dev/null`,
};

/** A copy of a running primary, which will stream from it. */
export function replicaOf(primary: {
  readonly endpoint: Endpoint;
  readonly dataFolder: () => string;
  readonly session: <T>(work: (client: Client) => Promise<T>) => Promise<T>;
  readonly conninfo: string;
  readonly slot: string;
}): DataOrigin {
  const { host, port } = primary.endpoint;
  const lines = followSettings(primary.conninfo, primary.slot);
  return {
    async seed({ owner }, data) {
      await primary.session((client) => copyByBackup(client, primary.dataFolder(), data, owner));
      await appendFile(join(data, 'postgresql.auto.conf'), lines);
      await writeFile(join(data, 'standby.signal'), '', { mode: 0o600 });
      if (owner !== undefined) await chown(join(data, 'standby.signal'), owner.uid, owner.gid);
    },
    seedScript: (place, data) =>
      [
        `${place.binary('pg_basebackup')} --host=${host} --port=${port} --username=postgres --pgdata=${data} --wal-method=stream --slot=${primary.slot} --checkpoint=fast --no-sync`,
        `cat >> ${data}/postgresql.auto.conf <<'END'\n${lines}END`,
        `touch ${data}/standby.signal`,
      ].join('\n'),
  };
}

/** As `pg_basebackup -R` writes it: in the file of ALTER SYSTEM, which can therefore change it later. */
function followSettings(conninfo: string, slot: string): string {
  return `primary_conninfo = ${quoteSetting(conninfo)}\nprimary_slot_name = ${quoteSetting(slot)}\n`;
}

/** How a PostgreSQL is started. */
export function postgresSpec(options: {
  readonly name: string;
  readonly port: number;
  readonly description: PostgresDescription;
  readonly origin: DataOrigin;
  readonly signal: AbortSignal | undefined;
  readonly onPlaced: (dataFolder: string) => void;
}): ServerSpec {
  const { name, port, description, origin, signal } = options;
  const { version, settings, durable, authentication } = description;
  return {
    kind: 'postgres',
    name,
    port,
    ...(version === undefined ? {} : { version }),
    ...(signal === undefined ? {} : { signal }),
    command: (place) => [
      place.binary('postgres'),
      '-D',
      dataOf(place),
      '-c',
      `config_file=${place.folder}/postgresql.conf`,
    ],
    files: (place) => ({
      'postgresql.conf': renderSettings(place, durable, settings),
      'pg_hba.conf': renderAccess(authentication),
    }),
    async seed(place) {
      options.onPlaced(dataOf(place));
      await origin.seed(place, dataOf(place));
    },
    seedScript: (place) => origin.seedScript(place, dataOf(place)),
    // Fast shutdown: open sessions are ended, everything is written.
    shutdownSignal: 'SIGINT',
    // Immediate shutdown: unlike SIGKILL it gives its shared memory back.
    endSignal: 'SIGQUIT',
    isReady: answersQueries,
  };
}

function dataOf(place: ServerPlace): string {
  return `${place.folder}/data`;
}

async function answersQueries({ host, port }: Endpoint): Promise<boolean> {
  const client = new Client({
    host,
    port,
    user: 'postgres',
    database: 'postgres',
    password: '',
    connectionTimeoutMillis: 5_000,
    query_timeout: 5_000,
  });
  // Also told by the promise below; without a listener it would end the process.
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('SELECT 1');
    return true;
  } finally {
    await client.end();
  }
}
