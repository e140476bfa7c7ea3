/**
 * What the facts of a server mean for a move (pure).
 *
 * A server is judged by its parts: as *publisher* it gives rows away and needs logical WAL, slots and senders; as
 * *subscriber* it takes rows in and needs workers and origins. With a reverse stream every server of a move is both.
 */

import { quoteIdentifier, quoteLiteral } from '@shardline/core';
import type { Finding } from '../finding.js';
import { type Cure, type ProviderProfile, selfHosted } from './providers.js';
import { majorVersion, numericSetting, type ServerFacts } from './server-facts.js';

/** What a move needs of a server, over what is in use already. */
export interface ServerNeeds {
  /** Slots, and as many senders, of streams that leave the server. */
  readonly outgoing: number;
  /** Workers, and as many origins, of streams that arrive. */
  readonly incoming: number;
}

/** Transactions younger than this end before anybody waits for them. */
const LONG_TRANSACTION_SECONDS = 60;

/** Beyond it autovacuum works towards wraparound, and a slot holds back what it needs. */
const XID_AGE_WARNING = 1_000_000_000;
/** `vacuum_failsafe_age`: from there the server fights for its life. */
const XID_AGE_BLOCKER = 1_600_000_000;

/** First version per line without what the research of this package names as fixed since; older ones are warned of. */
const PATCHED_FROM: Readonly<Record<number, number>> = { 15: 150_019, 16: 160_015, 18: 180_006 };

/** Everything about a server that a move would meet. */
export function judgeServer(
  shard: string,
  facts: ServerFacts,
  needs: ServerNeeds,
  provider: ProviderProfile = selfHosted,
): Finding[] {
  const found = new FindingList(shard);
  judgeState(found, facts);
  if (needs.outgoing > 0) judgePublisher(found, facts, needs.outgoing, provider);
  if (needs.incoming > 0) judgeSubscriber(found, facts, needs.incoming, provider);
  judgeRole(found, facts, needs, provider);
  return found.findings;
}

/** Findings of one shard. */
export class FindingList {
  readonly findings: Finding[] = [];
  readonly #shard: string;

  constructor(shard: string) {
    this.#shard = shard;
  }

  add(
    severity: Finding['severity'],
    code: string,
    subject: string,
    message: string,
    cure: Cure,
  ): void {
    this.findings.push({ code, severity, shard: this.#shard, subject, message, ...cure });
  }
}

function judgeState(found: FindingList, facts: ServerFacts): void {
  const major = majorVersion(facts);
  if (major < 15) {
    found.add('blocker', 'SERVER_VERSION', 'server_version', `The server is PostgreSQL ${major}.`, {
      remedy: 'Upgrade to PostgreSQL 15 or later: row filters of publications begin there.',
    });
  }
  const patched = PATCHED_FROM[major];
  if (patched !== undefined && facts.version < patched) {
    found.add(
      'warning',
      'SERVER_OUTDATED',
      'server_version',
      `The server is PostgreSQL ${major}.${facts.version % 10_000}.`,
      {
        remedy: `Upgrade to ${major}.${patched % 10_000} or later, which closes holes in logical replication.`,
      },
    );
  }
  if (facts.isReplica) {
    found.add('blocker', 'NOT_PRIMARY', 'server', 'The server is a replica.', {
      remedy: 'Name the primary of this shard.',
    });
  }
  if (facts.encoding !== 'UTF8') {
    found.add(
      'blocker',
      'ENCODING',
      'server_encoding',
      `The database is encoded in ${facts.encoding}.`,
      {
        remedy: 'Use a database in UTF8: texts would have other hashes than in the router.',
      },
    );
  }
  for (const { id, database, seconds } of facts.preparedTransactions) {
    found.add(
      'blocker',
      'PREPARED_TRANSACTION',
      id,
      `Transaction '${id}' of database '${database}' was prepared ${duration(seconds)} ago and is neither committed nor rolled back; no replication slot can be made until it is.`,
      {
        remedy: `Connect to database '${database}' and COMMIT PREPARED or ROLLBACK PREPARED it, whichever is right.`,
      },
    );
  }
  judgeAges(found, facts);
}

function judgeAges(found: FindingList, facts: ServerFacts): void {
  const [oldest] = facts.longTransactions.filter(
    ({ seconds }) => seconds >= LONG_TRANSACTION_SECONDS,
  );
  if (oldest !== undefined) {
    found.add(
      'warning',
      'LONG_TRANSACTION',
      `process ${oldest.pid}`,
      `A transaction${oldest.application === '' ? '' : ` of '${oldest.application}'`} has been open for ${duration(oldest.seconds)}${oldest.writes ? ' and has written; making a replication slot and fencing wait for it' : '; it may keep the fence waiting'}.`,
      {
        remedy: 'Let it end, or end it.',
        sql: `SELECT pg_terminate_backend(${oldest.pid})`,
      },
    );
  }
  if (facts.xidAge >= XID_AGE_WARNING) {
    found.add(
      facts.xidAge >= XID_AGE_BLOCKER ? 'blocker' : 'warning',
      'XID_AGE',
      'datfrozenxid',
      `The oldest transaction id is ${facts.xidAge} transactions old; a replication slot keeps VACUUM from lowering that.`,
      {
        remedy: 'Vacuum the databases first.',
        sql: 'VACUUM (FREEZE)',
      },
    );
  }
}

function judgePublisher(
  found: FindingList,
  facts: ServerFacts,
  outgoing: number,
  provider: ProviderProfile,
): void {
  const walLevel = facts.settings['wal_level'];
  if (walLevel !== 'logical') {
    found.add(
      'blocker',
      'WAL_LEVEL',
      'wal_level',
      `wal_level is '${walLevel}'.`,
      provider.setting('wal_level', 'logical'),
    );
  }
  room(
    found,
    facts,
    provider,
    'blocker',
    'REPLICATION_SLOTS',
    'max_replication_slots',
    facts.usedSlots,
    outgoing,
  );
  room(
    found,
    facts,
    provider,
    'blocker',
    'WAL_SENDERS',
    'max_wal_senders',
    facts.usedSenders,
    outgoing,
  );
  const keepMegabytes = numericSetting(facts, 'max_slot_wal_keep_size') ?? -1;
  if (keepMegabytes >= 0) {
    found.add(
      'warning',
      'SLOT_WAL_LIMIT',
      'max_slot_wal_keep_size',
      `A replication slot that holds back more than ${keepMegabytes} MB of WAL is lost, and the move with it.`,
      {
        remedy:
          'Make sure that the copy takes less time than writing that much, or raise the limit for the time of the move.',
        sql: 'ALTER SYSTEM SET max_slot_wal_keep_size = -1',
      },
    );
  }
  const idle = numericSetting(facts, 'idle_replication_slot_timeout') ?? 0;
  if (idle > 0) {
    found.add(
      'warning',
      'SLOT_EXPIRY',
      'idle_replication_slot_timeout',
      `A replication slot that is unused for ${duration(idle)} is lost; a move that is paused or whose destination is down for longer must begin anew.`,
      {
        remedy: 'Set it to 0 for the time of the move.',
        sql: 'ALTER SYSTEM SET idle_replication_slot_timeout = 0',
      },
    );
  }
  const plugins = facts.settings['output_plugin_libraries'];
  if (
    plugins !== undefined &&
    plugins !== '' &&
    !plugins.split(',').some((name) => ['pgoutput', '*'].includes(name.trim().replaceAll('"', '')))
  ) {
    found.add(
      'blocker',
      'PGOUTPUT_FORBIDDEN',
      'output_plugin_libraries',
      `output_plugin_libraries is '${plugins}', which leaves pgoutput out.`,
      provider.setting('output_plugin_libraries', `${plugins},pgoutput`),
    );
  }
  for (const slot of facts.heldSlots) {
    if (slot.walStatus === 'lost' || slot.walStatus === 'unreserved') {
      found.add(
        'warning',
        'SLOT_LOST',
        slot.name,
        `Replication slot '${slot.name}' has lost WAL that it needs (${slot.walStatus}).`,
        {
          remedy: 'Find out whose it is; a lost slot is of no use and takes a place.',
          sql: `SELECT pg_drop_replication_slot(${quoteLiteral(slot.name)})`,
        },
      );
    }
  }
}

function judgeSubscriber(
  found: FindingList,
  facts: ServerFacts,
  incoming: number,
  provider: ProviderProfile,
): void {
  room(
    found,
    facts,
    provider,
    'blocker',
    'REPLICATION_WORKERS',
    'max_logical_replication_workers',
    facts.usedSubscriptionWorkers,
    incoming,
  );
  room(
    found,
    facts,
    provider,
    'blocker',
    'WORKER_PROCESSES',
    'max_worker_processes',
    facts.usedWorkers,
    incoming,
  );
  // Until 17 the number of origins that a subscriber can track was bound by the setting for slots.
  const origins =
    majorVersion(facts) >= 18 ? 'max_active_replication_origins' : 'max_replication_slots';
  room(
    found,
    facts,
    provider,
    'blocker',
    'REPLICATION_ORIGINS',
    origins,
    facts.usedOrigins,
    incoming,
  );
}

function room(
  found: FindingList,
  facts: ServerFacts,
  provider: ProviderProfile,
  severity: Finding['severity'],
  code: string,
  setting: string,
  used: number,
  needed: number,
): void {
  const limit = numericSetting(facts, setting);
  if (limit === undefined || limit - used >= needed) return;
  found.add(
    severity,
    code,
    setting,
    `${setting} is ${limit} and ${used} are in use; the move needs ${needed}.`,
    provider.setting(setting, String(used + needed + 4)),
  );
}

function judgeRole(
  found: FindingList,
  facts: ServerFacts,
  needs: ServerNeeds,
  provider: ProviderProfile,
): void {
  const { role } = facts;
  if (role.isSuperuser) return;
  const major = majorVersion(facts);
  const isAdministrator = [
    'rds_superuser',
    'cloudsqlsuperuser',
    'azure_pg_admin',
    'neon_superuser',
  ].some((name) => role.memberOf.includes(name));
  if (
    needs.outgoing > 0 &&
    !role.mayReplicate &&
    !role.memberOf.includes('rds_replication') &&
    !isAdministrator
  ) {
    found.add(
      'blocker',
      'ROLE_REPLICATION',
      role.name,
      `Role '${role.name}' may not replicate, so it can neither make slots nor a role that does.`,
      provider.replicationRight(role.name),
    );
  }
  if (needs.outgoing > 0 && !role.mayCreateRoles) {
    found.add(
      'blocker',
      'ROLE_CREATE_ROLE',
      role.name,
      `Role '${role.name}' may not create roles; each move makes one of its own.`,
      {
        remedy: 'Give it the attribute CREATEROLE.',
        sql: `ALTER ROLE ${quoteIdentifier(role.name)} CREATEROLE`,
      },
    );
  }
  if (needs.incoming > 0) {
    const isMember = major >= 16 && role.memberOf.includes('pg_create_subscription');
    const isLetByProvider =
      provider.name === 'supabase' ? role.name === 'postgres' : isAdministrator;
    if (major < provider.subscriptionsFrom && provider.name !== 'self-hosted') {
      found.add(
        'blocker',
        'SUBSCRIPTIONS_REFUSED',
        role.name,
        `The provider lets nobody create subscriptions on PostgreSQL ${major}.`,
        {
          remedy: `Upgrade to PostgreSQL ${provider.subscriptionsFrom}. Routing, scatters and schema changes work meanwhile; only moves do not.`,
        },
      );
    } else if (!isMember && !isLetByProvider) {
      found.add(
        'blocker',
        'ROLE_SUBSCRIPTION',
        role.name,
        `Role '${role.name}' may not create subscriptions.`,
        provider.subscriptionRight(role.name, major),
      );
    }
  }
  if (!role.mayCreateInDatabase) {
    found.add(
      'blocker',
      'ROLE_CREATE',
      role.name,
      `Role '${role.name}' may not create publications and subscriptions in this database.`,
      {
        remedy: 'Grant it CREATE on the database.',
        sql: `DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO %I', current_database(), ${quoteLiteral(role.name)}); END $$`,
      },
    );
  }
}

/** Seconds as people say them. */
export function duration(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}
