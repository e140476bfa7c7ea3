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

import type { SchemaPart } from '../doctor/compare-schemas.js';
import schemaSql from '../doctor/schema.sql';
import { checkKnownAnswers } from '../hash/known-answers.js';
import { schemaDifferences } from './copy-schema.js';
import type { Finding } from './finding.js';
import { peerFindings } from './inspect/judge-peers.js';
import { foreignFindings, spaceFindings } from './inspect/judge-room.js';
import { FindingList, judgeServer } from './inspect/judge-server.js';
import { standingFindings } from './inspect/judge-standing.js';
import { judgeTables } from './inspect/judge-tables.js';
import { probeDecoding } from './inspect/probe-decoding.js';
import { type ProviderProfile, selfHosted } from './inspect/providers.js';
import { numericSetting, readServerFacts, type ServerFacts } from './inspect/server-facts.js';
import { type InspectedTable, readTableFacts } from './inspect/table-facts.js';
import type { MoveContext, ShardEndpoint } from './move-context.js';

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
    foreignFindings(context, destination.tables),
    ...[source, destination].map(probeDecoding),
    ...[source, destination].map(({ endpoint }) => hashFindings(endpoint)),
    ...peerFindings(context, options.peers),
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
    ...spaceFindings(context, source.tables),
  ];
}

/** A table that is missing and a guard that is missing are named by themselves, with a better remedy. */
function comparedParts({ parts }: Side): SchemaPart[] {
  return parts.filter(({ part }) => part !== 'table' && !part.startsWith('trigger ~shardline_'));
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
