/**
 * Everything that would keep a move from working, named before it begins and all at once: on both shards, and for
 * the way back as well, since a rollback that turns out to be impossible after the switch is worse than none.
 *
 * What is looked at and what is not:
 * - Settings, free places, rights, tables, foreign rows and standing records are read on both servers.
 * - That pgoutput works is tried, by making a replication slot that ends with its session.
 * - That the servers reach each other is tried if their addresses are given (`peer-connection.ts`).
 * - Free disk space cannot be read through SQL; a note says how much the move needs.
 */

import { quoteLiteral } from '@shardline/core';
import type { SchemaPart } from '../doctor/compare-schemas.js';
import schemaSql from '../doctor/schema.sql';
import { checkKnownAnswers } from '../hash/known-answers.js';
import { formatSlots } from '../topology/slot-set.js';
import { schemaDifferences } from './copy-schema.js';
import type { Finding } from './finding.js';
import { FindingList, judgeServer } from './inspect/judge-server.js';
import { hasSlots, judgeTables } from './inspect/judge-tables.js';
import { type ProviderProfile, selfHosted } from './inspect/providers.js';
import { numericSetting, readServerFacts, type ServerFacts } from './inspect/server-facts.js';
import { type InspectedTable, readTableFacts } from './inspect/table-facts.js';
import type { MoveContext, ShardEndpoint } from './move-context.js';
import { tryPeerConnection } from './peer-connection.js';
import shardStandingSql from './shard-standing.sql';
import { findForeignRows } from './verify-rows.js';

/** What preflight is told besides the move. */
export interface PreflightOptions {
  /** Whether rows must be able to flow back: they must. */
  readonly reverse: true;
  /** How the shards reach each other, without user and password; without it that is not tried. */
  readonly peers?: { readonly source: string; readonly destination: string };
  /** Tables that are the same on every shard. */
  readonly referenceTables?: readonly { readonly schema: string; readonly name: string }[];
  readonly provider?: ProviderProfile;
}

/** One side of the move with what was read of it. */
interface Side {
  readonly endpoint: ShardEndpoint;
  readonly server: ServerFacts;
  readonly tables: readonly InspectedTable[];
  readonly parts: readonly SchemaPart[];
}

const INSUFFICIENT_PRIVILEGE = '42501';
const QUERY_CANCELED = '57014';
const TOO_MANY_SLOTS = '53400';
const WRONG_STATE = '55000';
/** The slot waits for all open transactions; that it waits is proof enough. */
const PROBE_TIMEOUT_MS = 2000;

/** Looks at both shards of a move. @returns findings, blockers first; empty if there is nothing to say. */
export async function preflightMove(
  context: MoveContext,
  options: PreflightOptions = { reverse: true },
): Promise<Finding[]> {
  const [source, destination] = await Promise.all([
    readSide(context, context.source),
    readSide(context, context.destination),
  ]);
  const found = await Promise.all([
    judgeSides(context, source, destination, options),
    standingFindings(context),
    foreignFindings(context, destination),
    ...[source, destination].map(probeDecoding),
    ...[source, destination].map(({ endpoint }) => hashFindings(endpoint)),
    ...peerFindings(context, options),
  ]);
  return sortFindings(found.flat());
}

const SEVERITIES = ['blocker', 'warning', 'note'];

/** Blockers first; the same findings always in the same order. */
export function sortFindings(findings: readonly Finding[]): Finding[] {
  const keyOf = ({ severity, shard, code, subject }: Finding) =>
    `${SEVERITIES.indexOf(severity)}\0${shard}\0${code}\0${subject}`;
  return [...findings].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
}

async function readSide(context: MoveContext, endpoint: ShardEndpoint): Promise<Side> {
  const { primary } = endpoint;
  const [server, tables, { rows }] = await Promise.all([
    readServerFacts(primary),
    readTableFacts(primary, context.keyspace, context.tables),
    primary.query(schemaSql, [
      context.tables.map(({ schema }) => schema),
      context.tables.map(({ name }) => name),
    ]),
  ]);
  return { endpoint, server, tables, parts: rows as unknown as SchemaPart[] };
}

function judgeSides(
  context: MoveContext,
  source: Side,
  destination: Side,
  options: PreflightOptions,
): Finding[] {
  const provider = options.provider ?? selfHosted;
  // The initial copy takes a worker, and a slot of the source, per table that is copied at once.
  const copying = Math.min(
    context.tables.length,
    numericSetting(destination.server, 'max_sync_workers_per_subscription') ?? 2,
  );
  const judged = ({ endpoint, server, tables }: Side) =>
    judgeTables({
      shard: endpoint.name,
      keyspace: context.keyspace,
      hasLargeObjects: server.hasLargeObjects,
      isSuperuser: server.role.isSuperuser,
      tables,
      referenceTables: options.referenceTables ?? [],
    });
  return [
    ...judgeServer(
      source.endpoint.name,
      source.server,
      { outgoing: 1 + copying, incoming: 1 },
      provider,
    ),
    ...judgeServer(
      destination.endpoint.name,
      destination.server,
      { outgoing: 1, incoming: 1 + copying },
      provider,
    ),
    ...judged(source),
    ...judged(destination),
    ...schemaDifferences(
      source.endpoint.name,
      comparedParts(source),
      destination.endpoint.name,
      comparedParts(destination),
    ),
    ...spaceFindings(context, source, destination),
  ];
}

/** A table that is missing and a guard that is missing are named by themselves, with a better remedy. */
function comparedParts({ parts }: Side): SchemaPart[] {
  return parts.filter(({ part }) => part !== 'table' && !part.startsWith('trigger ~shardline_'));
}

/** What the copy needs; whether it is there cannot be asked through SQL. */
function spaceFindings(context: MoveContext, source: Side, destination: Side): Finding[] {
  const bytes = source.tables.reduce((sum, { facts }) => sum + Number(facts?.bytes ?? 0), 0);
  const found = new FindingList(destination.endpoint.name);
  found.add(
    'note',
    'DISK_NEEDED',
    'disk',
    `The tables take ${megabytes(bytes)} on '${context.source.name}'; ${context.slots.length} of ${context.keyspace.slots} slots move. The free space of a disk cannot be read through SQL.`,
    {
      remedy: `Make sure that '${destination.endpoint.name}' has room for the moved part twice (rows, and their WAL), and '${context.source.name}' for the WAL of the time that the copy takes.`,
    },
  );
  return found.findings;
}

function megabytes(bytes: number): string {
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

/** What the shards themselves say of the slots. */
async function standingFindings(context: MoveContext): Promise<Finding[]> {
  const { source, destination, slots, keyspace } = context;
  const read = async (endpoint: ShardEndpoint) => {
    const { rows } = await endpoint.primary.query<{
      shard: string | null;
      owned: number[];
      inTransit: number[];
    }>(shardStandingSql, [keyspace.name, slots]);
    return rows[0];
  };
  const findings: Finding[] = [];
  for (const endpoint of [source, destination]) {
    const found = new FindingList(endpoint.name);
    const remedy =
      'Look at `shardline status`; `shardline repair` brings records and catalog together.';
    try {
      const standing = await read(endpoint);
      if (standing?.shard == null) {
        found.add(
          'blocker',
          'SHARD_NOT_PREPARED',
          keyspace.name,
          'The shard has no record of the keyspace.',
          {
            remedy: 'Prepare the shard: `shardline shards add` does, and so does `shardline init`.',
          },
        );
      } else if (standing.shard !== endpoint.name) {
        found.add(
          'blocker',
          'SHARD_MISMATCH',
          endpoint.name,
          `The server says that it is shard '${standing.shard}'.`,
          {
            remedy: 'Correct the addresses: two shards may have been given one.',
          },
        );
      }
      const owned = new Set(standing?.owned);
      const isSource = endpoint === source;
      const wrong = slots.filter((slot) => owned.has(slot) !== isSource);
      if (standing?.shard != null && wrong.length > 0) {
        found.add(
          'blocker',
          isSource ? 'SLOTS_NOT_OWNED' : 'SLOTS_OWNED',
          `slots ${formatSlots(wrong)}`,
          isSource
            ? 'The source does not own them by its own record.'
            : 'The destination owns them already by its own record.',
          { remedy },
        );
      }
      if (standing !== undefined && standing.inTransit.length > 0) {
        found.add(
          'blocker',
          'SLOTS_IN_TRANSIT',
          `slots ${formatSlots(standing.inTransit)}`,
          'Another move has them in its hands.',
          {
            remedy: 'Let it end, or abort it.',
          },
        );
      }
    } catch (error) {
      if (!['42P01', '3F000'].includes((error as { code?: string }).code ?? '')) throw error;
      found.add('blocker', 'SHARD_NOT_PREPARED', keyspace.name, 'The database is no shard yet.', {
        remedy: 'Prepare the shard: `shardline shards add` does, and so does `shardline init`.',
      });
    }
    findings.push(...found.findings);
  }
  return findings;
}

async function foreignFindings(context: MoveContext, destination: Side): Promise<Finding[]> {
  const found = new FindingList(destination.endpoint.name);
  const present = destination.tables
    .filter((inspected) => hasSlots(context.keyspace, inspected))
    .map(({ table }) => table);
  const moving = new Set(context.slots);
  const others = Array.from({ length: context.keyspace.slots }, (_, slot) => slot).filter(
    (slot) => !moving.has(slot),
  );
  const rows = await findForeignRows(destination.endpoint, context.keyspace, present, others);
  for (const { table, slot, rows: count } of rows) {
    if (slot < 0) continue;
    found.add(
      'blocker',
      'FOREIGN_ROWS',
      `${table} slot ${slot}`,
      `The destination holds ${count} rows of a slot that it does not own; the copy would meet them.`,
      {
        remedy:
          'Find out where they come from, save what is of worth, and delete them; `shardline repair` lists them.',
      },
    );
  }
  return found.findings;
}

/** Makes a replication slot for the length of a session: whether decoding works, nothing else can say. */
async function probeDecoding({ endpoint, server }: Side): Promise<Finding[]> {
  if (server.settings['wal_level'] !== 'logical' || server.isReplica) return [];
  const found = new FindingList(endpoint.name);
  try {
    await endpoint.withConnection(async (client) => {
      await client.query(`SET statement_timeout = ${PROBE_TIMEOUT_MS}`);
      const { rows } = await client.query<{ name: string }>(
        `SELECT slot_name AS name FROM pg_create_logical_replication_slot('shardline_probe_' || pg_backend_pid(), 'pgoutput', true)`,
      );
      await client.query(`SELECT pg_drop_replication_slot(${quoteLiteral(rows[0]?.name ?? '')})`);
      await client.query('RESET statement_timeout');
    });
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    // Rights, places and waiting are judged by what was read.
    if ([INSUFFICIENT_PRIVILEGE, QUERY_CANCELED, TOO_MANY_SLOTS, WRONG_STATE].includes(code ?? ''))
      return [];
    found.add(
      'blocker',
      'DECODING',
      'pgoutput',
      `A replication slot with pgoutput cannot be made: ${message}.`,
      {
        remedy: 'Install the output plug-in pgoutput, which is part of PostgreSQL, or allow it.',
      },
    );
  }
  return found.findings;
}

async function hashFindings(endpoint: ShardEndpoint): Promise<Finding[]> {
  const found = new FindingList(endpoint.name);
  try {
    await checkKnownAnswers(endpoint.name, endpoint.primary);
  } catch (error) {
    found.add('blocker', 'HASH_MISMATCH', 'hash functions', (error as Error).message, {
      remedy: 'Do not use this server as a shard: its hashes are not those of the routers.',
    });
  }
  return found.findings;
}

function peerFindings(context: MoveContext, options: PreflightOptions): Promise<Finding[]>[] {
  const { source, destination } = context;
  const { peers } = options;
  if (peers === undefined) return [];
  return [
    peerFinding(destination, source, peers.source),
    peerFinding(source, destination, peers.destination),
  ];
}

async function peerFinding(
  from: ShardEndpoint,
  to: ShardEndpoint,
  conninfo: string,
): Promise<Finding[]> {
  const found = new FindingList(from.name);
  const connection = await tryPeerConnection(from, conninfo);
  switch (connection.outcome) {
    case 'reached':
      break;
    case 'not-admitted':
      found.add(
        'blocker',
        'PEER_NOT_ADMITTED',
        to.name,
        `Shard '${to.name}' is reached and does not admit this server: ${connection.message}.`,
        {
          remedy: `Add an entry for this server to pg_hba.conf of '${to.name}' (database and user: all), and reload it.`,
        },
      );
      break;
    case 'unreachable':
      found.add(
        'blocker',
        'PEER_UNREACHABLE',
        to.name,
        `Shard '${to.name}' is not reached from here at ${conninfo}: ${connection.message}.`,
        {
          remedy: 'Open the way between the servers, or correct `peerAddress`.',
        },
      );
      break;
    case 'unknown':
      found.add(
        'note',
        'PEER_UNKNOWN',
        to.name,
        `Whether shard '${to.name}' is reached from here could not be tried: ${connection.message}.`,
        {
          remedy: 'Mend what else was found, and look again.',
        },
      );
      break;
  }
  return found.findings;
}
