/**
 * Looks at the servers when nothing moves: whether a move would work, on every shard, and how to mend what would not, in
 * the way of whoever runs the servers.
 *
 * What needs two shards (equal schemas, a way between them) is for `preflight`, which knows who moves to whom; here the
 * schemas of all shards are compared with each other.
 */

import { ShardlineError } from '@shardline/core';
import { findDifferences, type SchemaPart } from '../doctor/compare-schemas.js';
import schemaSql from '../doctor/schema.sql';
import { routerErrors } from '../errors.js';
import { checkKnownAnswers } from '../hash/known-answers.js';
import type { Keyspace, ShardedTable } from '../keyspace.js';
import { PROVIDERS } from '../provider-names.js';
import type { TableName } from './copy-schema.js';
import type { Finding } from './finding.js';
import { FindingList, judgeServer } from './inspect/judge-server.js';
import { judgeTables } from './inspect/judge-tables.js';
import { type ProviderProfile, providerProfile } from './inspect/providers.js';
import { majorVersion, readServerFacts } from './inspect/server-facts.js';
import { readTableFacts } from './inspect/table-facts.js';
import type { ShardEndpoint } from './move-context.js';
import { sortFindings } from './preflight.js';

/** A server that is looked at. */
export interface ExaminedShard {
  readonly endpoint: ShardEndpoint;
  /** Where it is reached, for faults of an address; undefined if that is not known. */
  readonly address?: { readonly host: string; readonly port: number } | undefined;
  /** Whether it is in the topology. One that is to join has no guards yet, and nothing to guard. @default true */
  readonly isOnMap?: boolean;
}

/** What is looked at. */
export interface Examination {
  readonly catalog: ExaminedShard;
  readonly shards: readonly ExaminedShard[];
  readonly keyspaces: readonly {
    readonly keyspace: Keyspace;
    readonly tables: readonly ShardedTable[];
  }[];
  readonly referenceTables?: readonly TableName[];
  /** One of `PROVIDERS`. @default 'self-hosted' */
  readonly provider?: string | undefined;
}

/** One move in each direction, with the default workers of an initial copy. */
const NEEDS = { outgoing: 4, incoming: 4 };

/**
 * Examines catalog and shards. A server that cannot be reached is a finding and keeps nobody from looking at the others.
 *
 * @throws ShardlineError `PROVIDER_UNKNOWN` for a provider that is not known.
 */
export async function examineServers(examination: Examination): Promise<Finding[]> {
  const provider = profileOf(examination.provider ?? 'self-hosted');
  const parts = new Map<string, SchemaPart[]>();
  const findings = await Promise.all([
    examineCatalog(examination.catalog, provider),
    ...examination.shards.map(async (shard) => {
      try {
        parts.set(shard.endpoint.name, await readParts(shard.endpoint, examination));
        return await examineShard(shard, examination, provider);
      } catch (error) {
        return [unreachable(shard.endpoint.name, error)];
      }
    }),
  ]);
  return sortFindings([...findings.flat(), ...compare(parts), ...notesOf(provider)]);
}

function profileOf(name: string): ProviderProfile {
  const profile = providerProfile(name);
  if (profile !== undefined) return profile;
  throw new ShardlineError(
    routerErrors.PROVIDER_UNKNOWN,
    `'${name}' is no provider that is known here: ${PROVIDERS.join(', ')}.`,
    { details: { provider: name } },
  );
}

async function examineCatalog(
  { endpoint }: ExaminedShard,
  provider: ProviderProfile,
): Promise<Finding[]> {
  try {
    const facts = await readServerFacts(endpoint.primary);
    // Rows never move through the catalog: only its own state counts.
    return judgeServer(endpoint.name, facts, { outgoing: 0, incoming: 0 }, provider).filter(
      ({ code }) => !['PREPARED_TRANSACTION', 'ROLE_CREATE', 'XID_AGE'].includes(code),
    );
  } catch (error) {
    return [unreachable(endpoint.name, error)];
  }
}

async function examineShard(
  { endpoint, address, isOnMap = true }: ExaminedShard,
  { keyspaces, referenceTables = [] }: Examination,
  provider: ProviderProfile,
): Promise<Finding[]> {
  const facts = await readServerFacts(endpoint.primary);
  const findings = [
    ...addressFindings(endpoint.name, address, provider),
    ...judgeServer(endpoint.name, facts, NEEDS, provider),
  ];
  for (const { keyspace, tables } of keyspaces) {
    findings.push(
      ...judgeTables({
        shard: endpoint.name,
        keyspace,
        hasLargeObjects: facts.hasLargeObjects,
        isSuperuser: facts.role.isSuperuser,
        tables: await readTableFacts(endpoint.primary, keyspace, tables),
        referenceTables,
      }),
    );
  }
  const found = new FindingList(endpoint.name);
  try {
    await checkKnownAnswers(endpoint.name, endpoint.primary);
  } catch (error) {
    found.add('blocker', 'HASH_MISMATCH', 'hash functions', (error as Error).message, {
      remedy: 'Do not use this server as a shard: its hashes are not those of the routers.',
    });
  }
  if (majorVersion(facts) < 16) {
    found.add(
      'note',
      'NO_ORIGIN_FILTER',
      'server_version',
      'Before PostgreSQL 16 a subscription cannot leave out what was replicated, so the reverse stream of a move is made within the pause.',
      {
        remedy: 'Nothing; on 16 and later the pause is shorter.',
      },
    );
  }
  return [...findings, ...found.findings].map((finding) =>
    isOnMap || finding.code !== 'GUARD_MISSING' ? finding : guardToCome(finding),
  );
}

/** Whoever adds the shard makes its guards before the first row comes; preflight asks for them. */
function guardToCome(finding: Finding): Finding {
  return {
    ...finding,
    severity: 'note',
    message: 'The standing guard is not on the table yet: the shard is not in the topology.',
    remedy: 'Nothing: `shardline shards add` makes it.',
  };
}

function addressFindings(
  shard: string,
  address: ExaminedShard['address'],
  provider: ProviderProfile,
): Finding[] {
  const fault = address && provider.addressFault(address.host, address.port);
  if (fault === undefined || address === undefined) return [];
  const found = new FindingList(shard);
  found.add('blocker', 'ADDRESS', `${address.host}:${address.port}`, `The address ${fault}.`, {
    remedy:
      'Give the rebalancer, and `peerAddress`, the direct address of the database; services may go on through the pooler.',
  });
  return found.findings;
}

function unreachable(shard: string, error: unknown): Finding {
  const { message } = error as Error;
  const found = new FindingList(shard);
  found.add('blocker', 'UNREACHABLE', shard, `The server could not be asked: ${message}.`, {
    remedy: 'Start the server, or correct its address, role or password.',
  });
  return found.findings[0] as Finding;
}

async function readParts(endpoint: ShardEndpoint, examination: Examination): Promise<SchemaPart[]> {
  const tables: TableName[] = [
    ...examination.keyspaces.flatMap((keyspace) => keyspace.tables),
    ...(examination.referenceTables ?? []),
  ];
  const { rows } = await endpoint.primary.query(schemaSql, [
    tables.map(({ schema }) => schema),
    tables.map(({ name }) => name),
  ]);
  return (rows as unknown as SchemaPart[]).filter(
    ({ part }) => part !== 'table' && !part.startsWith('trigger ~shardline_'),
  );
}

function compare(parts: ReadonlyMap<string, readonly SchemaPart[]>): Finding[] {
  return findDifferences(parts).map(({ table, part, definitions }) => ({
    code: 'SCHEMA_DIFFERS',
    severity: 'blocker',
    shard: Object.keys(definitions).sort().join(', '),
    subject: `${table} ${part}`,
    message: `It is not the same on every shard: ${Object.entries(definitions)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([shard, definition]) => `${definition ?? 'missing'} on '${shard}'`)
      .join('; ')}.`,
    remedy: 'Make the shards the same, with `everywhere` or `shardline exec`.',
  }));
}

function notesOf(provider: ProviderProfile): Finding[] {
  return provider.notes.map(({ code, message, remedy }) => ({
    code,
    severity: 'note',
    shard: 'all',
    subject: provider.name,
    message,
    remedy,
  }));
}
