import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import { type PostgresServer, startPostgres } from '@shardline/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Keyspace, type KeyspaceDefinition, slotExpression } from '../keyspace.js';
import { checkKnownAnswers } from './known-answers.js';
import { hashInt8Extended, hashTextExtended, uuidHashExtended } from './postgres-hash.js';

/** The hashes of this package against the server's own, on the newest and the oldest version served. */
const CASES = Number(process.env.SHARDLINE_TORTURE === '1' ? 500_000 : 20_000);
const SEED = Number(process.env.SHARDLINE_SEED ?? randomInt(2 ** 31));

describe.each([18, 15])('PostgreSQL %i', (version) => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres({ name: `hash-${version}`, version });
  });
  afterAll(() => server?.stop());

  async function ask(expression: string, values: readonly string[]): Promise<string[]> {
    const { rows } = await server.query<{ hash: string }>(
      `SELECT (${expression})::text AS hash FROM unnest($1::text[]) WITH ORDINALITY AS t(v, n) ORDER BY n`,
      [values],
    );
    return rows.map(({ hash }) => hash);
  }

  test(`integers over the whole 64-bit range hash alike (seed ${SEED})`, async () => {
    const values = sample(
      fc.oneof(
        fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
        fc.bigInt({ min: -(2n ** 33n), max: 2n ** 33n }),
        fc.integer().map(BigInt),
      ),
    );
    const answers = await ask('hashint8extended(v::bigint, 0)', values.map(String));
    expect(firstDifference(values, answers, (value) => hashInt8Extended(value))).toBeUndefined();
    const small = values.map((value) => BigInt.asIntN(32, value));
    const asInt4 = await ask('hashint4extended(v::integer, 0)', small.map(String));
    expect(firstDifference(small, asInt4, (value) => hashInt8Extended(value))).toBeUndefined();
  });

  test(`texts of every kind of Unicode hash alike (seed ${SEED})`, async () => {
    const values = sample(
      fc.oneof(
        fc.string({ unit: 'binary', maxLength: 50 }),
        fc.string({ unit: 'grapheme', maxLength: 40 }),
        fc.string({ unit: 'binary-ascii', maxLength: 60 }),
      ),
    ).filter((text) => !text.includes('\0') && text.isWellFormed());
    const answers = await ask('hashtextextended(v, 0)', values);
    expect(firstDifference(values, answers, (value) => hashTextExtended(value))).toBeUndefined();
    const seeded = await ask('hashtextextended(v, 8816678312871386365)', values);
    expect(
      firstDifference(values, seeded, (value) => hashTextExtended(value, 8816678312871386365n)),
    ).toBeUndefined();
  });

  test('uuids hash alike', async () => {
    const values = Array.from({ length: CASES }, () => randomUUID() as string);
    const answers = await ask('uuid_hash_extended(v::uuid, 0)', values);
    expect(
      firstDifference(values, answers, (value) =>
        uuidHashExtended(Buffer.from(value.replaceAll('-', ''), 'hex')),
      ),
    ).toBeUndefined();
  });

  const definitions: [KeyspaceDefinition['keyType'], string, () => string][] = [
    ['bigint', 'bigint', () => String(randomBytes(8).readBigInt64LE())],
    ['bigint', 'integer', () => String(randomBytes(4).readInt32LE())],
    ['text', 'text', () => randomBytes(randomInt(20)).toString('base64')],
    ['text', 'varchar(80)', () => `ü${randomBytes(9).toString('base64')}🚀`],
    ['uuid', 'uuid', () => randomUUID()],
  ];

  test.each(definitions)(
    'a %s keyspace over a %s column: the slot in SQL is the slot in TypeScript',
    async (keyType, columnType, make) => {
      for (const slots of [2, 4096, 65536]) {
        const keyspace = new Keyspace({ name: 'k', keyType, hash: 'postgres', slots });
        const keys = Array.from({ length: 2000 }, make);
        const { rows } = await server.query<{ slot: string }>(
          `SELECT ${slotExpression(keyspace, { key: 'key' })}::text AS slot
         FROM (SELECT v::${columnType} AS key, n FROM unnest($1::text[]) WITH ORDINALITY AS t(v, n)) q
         ORDER BY n`,
          [keys],
        );
        expect(rows.map(({ slot }) => Number(slot))).toEqual(
          keys.map((key) => keyspace.slotOf(key)),
        );
      }
    },
  );

  test('the slot expression stands in a row filter and in an index', async () => {
    for (const [index, keyType] of (['bigint', 'text', 'uuid'] as const).entries()) {
      const keyspace = new Keyspace({ name: 'k', keyType, hash: 'postgres', slots: 4096 });
      const slot = slotExpression(keyspace, { key: 'id' });
      await server.query(`CREATE TABLE f${index} (id ${keyType} PRIMARY KEY)`);
      await server.query(`CREATE INDEX ON f${index} ((${slot}))`);
      await server.query(
        `CREATE PUBLICATION p${index} FOR TABLE f${index} WHERE (${slot} = ANY ('{1,2,3}'::bigint[]))`,
      );
    }
  });

  test('the known answers are accepted, and a server that hashes otherwise is named', async () => {
    await checkKnownAnswers('a', server);
    const other = {
      query: async (text: string) =>
        server.query(text.replace('hashint8extended(42', 'hashint8extended(43')),
    };
    await expect(checkKnownAnswers('b', other as never)).rejects.toMatchObject({
      code: 'HASH_MISMATCH',
      details: { shard: 'b', wrong: ['hashint8extended(42, 0)'] },
    });
  });
});

function sample<T>(arbitrary: fc.Arbitrary<T>): T[] {
  return fc.sample(arbitrary, { numRuns: CASES, seed: SEED });
}

function firstDifference<T>(
  values: readonly T[],
  answers: readonly string[],
  hash: (value: T) => bigint,
): { value: T; server: string | undefined; ours: bigint } | undefined {
  for (const [at, value] of values.entries()) {
    const ours = hash(value);
    if (String(ours) !== answers[at]) return { value, server: answers[at], ours };
  }
  return undefined;
}
