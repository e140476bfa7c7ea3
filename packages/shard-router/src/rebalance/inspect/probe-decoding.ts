import { quoteLiteral } from '@shardline/core';
import type { Finding } from '../finding.js';
import type { ShardEndpoint } from '../move-context.js';
import { FindingList } from './judge-server.js';
import type { ServerFacts } from './server-facts.js';

const INSUFFICIENT_PRIVILEGE = '42501';
const QUERY_CANCELED = '57014';
const TOO_MANY_SLOTS = '53400';
const WRONG_STATE = '55000';
/** The slot waits for all open transactions; that it waits is proof enough. */
const PROBE_TIMEOUT_MS = 2000;

/** Makes a replication slot for the length of a session: whether decoding works, nothing else can say. */
export async function probeDecoding({
  endpoint,
  server,
}: {
  readonly endpoint: ShardEndpoint;
  readonly server: ServerFacts;
}): Promise<Finding[]> {
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
