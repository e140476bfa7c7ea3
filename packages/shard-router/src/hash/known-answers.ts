/**
 * What a shard is asked before it may serve: that it hashes as the router does.
 *
 * The functions are internal to PostgreSQL and byte-order dependent, and the text must arrive as UTF-8. A
 * shard that answers otherwise (a big-endian machine, a database in another encoding, a fork) would put rows
 * where nobody looks for them.
 */

import { ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';
import type { Queryable } from '../shard/queryable.js';
import knownAnswersSql from './known-answers.sql';
import { hashInt8Extended, hashTextExtended, uuidHashExtended } from './postgres-hash.js';

const uuid = Uint8Array.from([
  0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11,
]);

/** Name of each question with the router's own answer, in the order of the statement. */
function expectedAnswers(): [string, string][] {
  return [
    ...[0n, 42n, -1n, 2n ** 32n, 2n ** 63n - 1n].map((value): [string, string] => [
      `hashint8extended(${value}, 0)`,
      String(hashInt8Extended(value)),
    ]),
    ...['', 'user:42', 'PostgreSQL and thirteen', 'héllo 🚀'].map((text): [string, string] => [
      `hashtextextended('${text}', 0)`,
      String(hashTextExtended(text)),
    ]),
    ['uuid_hash_extended(…, 0)', String(uuidHashExtended(uuid))],
  ];
}

/**
 * Asks a shard for the known answers.
 *
 * @throws ShardlineError `HASH_MISMATCH` naming the shard and every answer that differs.
 */
export async function checkKnownAnswers(shard: string, client: Queryable): Promise<void> {
  const { rows } = await client.query<{ hashes: string[] }>(knownAnswersSql);
  const answers = rows[0]?.hashes ?? [];
  const wrong = expectedAnswers().filter(([, expected], at) => answers[at] !== expected);
  if (wrong.length === 0) return;
  throw new ShardlineError(
    routerErrors.HASH_MISMATCH,
    `Shard '${shard}' hashes differently from this router: ${wrong.map(([name]) => name).join(', ')}.`,
    { details: { shard, wrong: wrong.map(([name]) => name) } },
  );
}
