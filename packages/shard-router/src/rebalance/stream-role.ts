/**
 * The role by which a subscription reads: one per move and direction, with a random password, an end, and the right to
 * read the moved tables and nothing else.
 *
 * The password is handed to its server as the verifier that the server would have made of it, so that it stands in no
 * log of statements there. In the subscription it must stand in plain text; PostgreSQL shows that to superusers only.
 */

import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { quoteIdentifier, quoteLiteral, quoteQualified } from '@shardline/core';
import type { ShardedTable } from '../keyspace.js';

/** PostgreSQL's own number of rounds. */
const ROUNDS = 4096;
/** If nobody comes for its move any more, a role ends by itself. One that is worked at is prolonged (`prolongRole`). */
const LIFETIME_DAYS = 30;
/** How often a mover does that. */
export const PROLONG_MS = 86_400_000;

/** Letters that need no quoting anywhere. */
export function randomPassword(): string {
  return randomBytes(24).toString('base64url');
}

/** What PostgreSQL keeps of a password under `scram-sha-256`. */
export function scramVerifier(password: string, salt: Buffer = randomBytes(16)): string {
  const salted = pbkdf2Sync(password, salt, ROUNDS, 32, 'sha256');
  const keyOf = (name: string) => createHmac('sha256', salted).update(name).digest();
  const storedKey = createHash('sha256').update(keyOf('Client Key')).digest('base64');
  const serverKey = keyOf('Server Key').toString('base64');
  return `SCRAM-SHA-256$${ROUNDS}:${salt.toString('base64')}$${storedKey}:${serverKey}`;
}

/** Makes the role, or gives one that is there already a new password. */
export function createRoleStatements(
  role: string,
  verifier: string,
  exists: boolean,
  tables: readonly ShardedTable[],
  nowMs: number,
): string[] {
  const name = quoteIdentifier(role);
  return [
    `${exists ? 'ALTER' : 'CREATE'} ROLE ${name} LOGIN REPLICATION CONNECTION LIMIT 20
     PASSWORD ${quoteLiteral(verifier)} VALID UNTIL ${quoteLiteral(untilOf(nowMs))}`,
    ...schemasOf(tables).map((schema) => `GRANT USAGE ON SCHEMA ${schema} TO ${name}`),
    `GRANT SELECT ON ${namesOf(tables)} TO ${name}`,
  ];
}

/** Gives a role another lifetime: its end is looked at whenever its subscription connects anew. */
export function prolongRole(role: string, nowMs: number): string {
  return `ALTER ROLE ${quoteIdentifier(role)} VALID UNTIL ${quoteLiteral(untilOf(nowMs))}`;
}

function untilOf(nowMs: number): string {
  return new Date(nowMs + LIFETIME_DAYS * 86_400_000).toISOString();
}

/** Takes the role and its rights off. */
export function dropRoleStatements(role: string, tables: readonly ShardedTable[]): string[] {
  const name = quoteIdentifier(role);
  return [
    `REVOKE ALL ON ${namesOf(tables)} FROM ${name}`,
    ...schemasOf(tables).map((schema) => `REVOKE ALL ON SCHEMA ${schema} FROM ${name}`),
    `DROP ROLE ${name}`,
  ];
}

function schemasOf(tables: readonly ShardedTable[]): string[] {
  return [...new Set(['shardline', ...tables.map(({ schema }) => schema)])]
    .sort()
    .map(quoteIdentifier);
}

function namesOf(tables: readonly ShardedTable[]): string {
  const names = tables.map(({ schema, name }) => quoteQualified(schema, name));
  return [...names, 'shardline.move_barrier'].join(', ');
}

/** A connection string in the key=value form, every value quoted. */
export function connectionInfo(address: string, more: Readonly<Record<string, string>>): string {
  const quote = (value: string) => `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const added = Object.entries(more).map(([key, value]) => `${key}=${quote(value)}`);
  return [address, ...added].join(' ');
}
