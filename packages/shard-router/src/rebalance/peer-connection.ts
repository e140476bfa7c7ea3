/**
 * Whether one server can reach another, asked of the server itself.
 *
 * The only thing in PostgreSQL that connects to another server and is always there is a subscription. One that is neither
 * enabled nor given a slot may be made in a transaction; making it connects to the publisher and asks it for the
 * publication; the transaction is rolled back, and nothing is left on either side. The role of a move does not exist yet,
 * so the connection is tried as one that exists nowhere: a refusal by the other server itself proves that it was
 * reached. What that does not prove is that the move's own role will be let in: making its subscription does.
 */

import { randomBytes } from 'node:crypto';
import { quoteIdentifier, quoteLiteral } from '@shardline/core';
import type { ShardEndpoint } from './move-context.js';

/** What became of the attempt. */
export type PeerConnection =
  | { readonly outcome: 'reached' }
  /** It was reached and has no entry in `pg_hba.conf` for this server. */
  | { readonly outcome: 'not-admitted'; readonly message: string }
  | { readonly outcome: 'unreachable'; readonly message: string }
  /** This role cannot ask; that is found elsewhere. */
  | { readonly outcome: 'unknown'; readonly message: string };

/** Longest attempt. A dropped packet would otherwise be waited for by the rules of TCP: two minutes. */
const TIMEOUT_MS = 10_000;
const QUERY_CANCELED = '57014';
const CONNECTION_FAILURE = '08006';

/** @param conninfo how the other one is reached, without user and password. */
export async function tryPeerConnection(
  from: ShardEndpoint,
  conninfo: string,
): Promise<PeerConnection> {
  const nobody = `shardline_probe_${randomBytes(8).toString('hex')}`;
  const address = `${conninfo} user=${nobody} password=${nobody} application_name=shardline_preflight`;
  try {
    // The connection is thrown away with its open transaction: that is the rollback.
    await from.withConnection(async (client) => {
      await client.query('BEGIN');
      await client.query(`SET LOCAL statement_timeout = ${TIMEOUT_MS}`);
      await client.query(
        `CREATE SUBSCRIPTION ${quoteIdentifier(nobody)} CONNECTION ${quoteLiteral(address)}
         PUBLICATION ${quoteIdentifier(nobody)}
         WITH (enabled = false, create_slot = false, slot_name = NONE, copy_data = false)`,
      );
      await client.query('ROLLBACK');
    });
    return { outcome: 'reached' };
  } catch (error) {
    return judgeFailure(error as { code?: string; message: string });
  }
}

function judgeFailure(error: { code?: string; message: string }): PeerConnection {
  const { message } = error;
  if (error.code === QUERY_CANCELED) {
    return { outcome: 'unreachable', message: `no answer within ${TIMEOUT_MS / 1000} s` };
  }
  if (error.code !== CONNECTION_FAILURE) return { outcome: 'unknown', message };
  if (/pg_hba\.conf/.test(message)) return { outcome: 'not-admitted', message };
  // `FATAL` is what a server says that has accepted the connection; it is the same in most of its languages.
  return /FATAL|FATAAL|ВАЖНО|致命/.test(message)
    ? { outcome: 'reached' }
    : { outcome: 'unreachable', message };
}
