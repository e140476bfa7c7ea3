/** What servers say of themselves, read in one statement each. What it means is judged elsewhere. */

import type { Queryable } from '../../shard/queryable.js';
import serverFactsSql from './server-facts.sql';

/** One server, as far as a move is concerned. */
export interface ServerFacts {
  /** As `server_version_num`: 180004. */
  readonly version: number;
  readonly isReplica: boolean;
  readonly encoding: string;
  /** Only those of `INSPECTED_SETTINGS` that the server has. */
  readonly settings: Readonly<Record<string, string>>;
  readonly usedSlots: number;
  readonly usedSenders: number;
  readonly usedSubscriptionWorkers: number;
  readonly usedOrigins: number;
  readonly usedWorkers: number;
  readonly preparedTransactions: readonly {
    readonly id: string;
    readonly database: string;
    readonly seconds: number;
  }[];
  /** Open for ten seconds and more, oldest first. */
  readonly longTransactions: readonly {
    readonly pid: number;
    readonly application: string;
    readonly writes: boolean;
    readonly seconds: number;
  }[];
  readonly xidAge: number;
  readonly databaseBytes: number | null;
  readonly hasLargeObjects: boolean;
  readonly heldSlots: readonly {
    readonly name: string;
    readonly active: boolean;
    readonly bytes: number | null;
    readonly walStatus: string | null;
  }[];
  readonly role: {
    readonly name: string;
    readonly isSuperuser: boolean;
    readonly mayReplicate: boolean;
    readonly mayCreateRoles: boolean;
    readonly mayCreateInDatabase: boolean;
    readonly memberOf: readonly string[];
  };
}

const INSPECTED_SETTINGS = [
  'wal_level',
  'max_replication_slots',
  'max_wal_senders',
  'max_logical_replication_workers',
  'max_sync_workers_per_subscription',
  'max_worker_processes',
  'max_active_replication_origins',
  'max_slot_wal_keep_size',
  'idle_replication_slot_timeout',
  'wal_sender_timeout',
  'output_plugin_libraries',
  'rds.logical_replication',
  'cloudsql.logical_decoding',
];

/** Reads them on one connection or pool. */
export async function readServerFacts(client: Queryable): Promise<ServerFacts> {
  const { rows } = await client.query<{ facts: ServerFacts }>(serverFactsSql, [INSPECTED_SETTINGS]);
  return (rows[0] as { facts: ServerFacts }).facts;
}

export function majorVersion(facts: ServerFacts): number {
  return Math.trunc(facts.version / 10_000);
}

/** A setting that is a number; undefined where the server does not have it. */
export function numericSetting(facts: ServerFacts, name: string): number | undefined {
  const value = facts.settings[name];
  return value === undefined ? undefined : Number(value);
}
