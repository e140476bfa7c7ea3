import { PrismaPg } from '@prisma/adapter-pg';
import { type PostgresServer, startPostgres } from '@shardline/testkit';
import { sql as drizzleSql, eq } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { integer, pgTable } from 'drizzle-orm/pg-core';
import knex from 'knex';
import { Kysely, PostgresDialect, sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ReplicaPool } from './index.js';

/**
 * The object mappers that people use, real ones, over a primary with a prompt and a delayed replica,
 * reads routed and sessions on. Each has to see its own writes, read from replicas, and keep
 * transactions on the primary.
 */
let primary: PostgresServer;
let prompt: PostgresServer;
let late: PostgresServer;
let pool: ReplicaPool;
const statements: string[] = [];

beforeAll(async () => {
  primary = await startPostgres({ name: 'mappers' });
  prompt = await primary.addReplica();
  late = await primary.addReplica({ applyDelay: '200ms' });
  await primary.query('CREATE TABLE bet (id int PRIMARY KEY, stake int NOT NULL)');
  await primary.waitForReplica(prompt);
  await primary.waitForReplica(late);
});
beforeEach(async () => {
  await primary.query('TRUNCATE bet');
  statements.length = 0;
  pool = new ReplicaPool({
    primary: { connectionString: primary.url, name: 'primary' },
    replicas: [
      { connectionString: prompt.url, name: 'prompt' },
      { connectionString: late.url, name: 'late' },
    ],
    log: (line: string) => statements.push(line),
  });
  await pool.ready();
});
afterEach(() => pool?.close({ deadline: '2s' }));
afterAll(async () => {
  for (const server of [late, prompt, primary]) await server?.stop();
});

/** What a mapper has to do here; each brings its own words for it. */
interface Mapper {
  insert(id: number, stake: number): Promise<unknown>;
  stakeOf(id: number): Promise<number | undefined>;
  /** Moves a stake inside a transaction, reading it there first; throws if told to. */
  move(from: number, to: number, fails: boolean): Promise<unknown>;
  close?(): Promise<unknown>;
}

const bets = pgTable('bet', { id: integer().primaryKey(), stake: integer().notNull() });

function withDrizzle(): Mapper {
  const db = drizzle(pool);
  return {
    insert: (id, stake) => db.insert(bets).values({ id, stake }),
    stakeOf: async (id) => (await db.select().from(bets).where(eq(bets.id, id)))[0]?.stake,
    move: (from, to, fails) =>
      db.transaction(async (tx) => {
        const [row] = await tx.select().from(bets).where(eq(bets.id, from));
        await tx.insert(bets).values({ id: to, stake: row?.stake ?? -1 });
        await tx.execute(drizzleSql`DELETE FROM bet WHERE id = ${from}`);
        if (fails) throw new Error('on purpose');
      }),
  };
}

function withKysely(): Mapper {
  const db = new Kysely<{ bet: { id: number; stake: number } }>({
    dialect: new PostgresDialect({ pool: pool }),
  });
  return {
    insert: (id, stake) => db.insertInto('bet').values({ id, stake }).execute(),
    stakeOf: async (id) =>
      (await db.selectFrom('bet').selectAll().where('id', '=', id).executeTakeFirst())?.stake,
    move: (from, to, fails) =>
      db.transaction().execute(async (tx) => {
        const row = await tx
          .selectFrom('bet')
          .selectAll()
          .where('id', '=', from)
          .executeTakeFirst();
        await tx
          .insertInto('bet')
          .values({ id: to, stake: row?.stake ?? -1 })
          .execute();
        await sql`DELETE FROM bet WHERE id = ${from}`.execute(tx);
        if (fails) throw new Error('on purpose');
      }),
  };
}

function withKnex(): Mapper {
  const db = knex({ client: 'pg', connectionPool: pool } as never);
  return {
    insert: (id, stake) => db('bet').insert({ id, stake }),
    stakeOf: async (id) => (await db('bet').where({ id }).first())?.stake,
    move: (from, to, fails) =>
      db.transaction(async (tx) => {
        const row = await tx('bet').where({ id: from }).first();
        await tx('bet').insert({ id: to, stake: row?.stake ?? -1 });
        await tx('bet').where({ id: from }).delete();
        if (fails) throw new Error('on purpose');
      }),
  };
}

function withPrisma(): Mapper {
  const adapter = new PrismaPg(pool).connect();
  const query = (text: string, args: unknown[]) => ({
    sql: text,
    args,
    argTypes: args.map(() => ({ scalarType: 'int' as const, arity: 'scalar' as const })),
  });
  const stake = (result: { rows: unknown[][] }) => result.rows[0]?.[0] as number | undefined;
  const select = 'SELECT stake FROM bet WHERE id = $1';
  return {
    insert: async (id, value) =>
      (await adapter).executeRaw(query('INSERT INTO bet VALUES ($1, $2)', [id, value])),
    stakeOf: async (id) => stake(await (await adapter).queryRaw(query(select, [id]))),
    move: async (from, to, fails) => {
      const tx = await (await adapter).startTransaction();
      try {
        const value = stake(await tx.queryRaw(query(select, [from]))) ?? -1;
        await tx.executeRaw(query('INSERT INTO bet VALUES ($1, $2)', [to, value]));
        await tx.executeRaw(query('DELETE FROM bet WHERE id = $1', [from]));
        if (fails) throw new Error('on purpose');
        // The adapter leaves the statements to Prisma's engine, which sends them itself.
        await tx.executeRaw(query('COMMIT', []));
        await tx.commit();
      } catch (error) {
        await tx.executeRaw(query('ROLLBACK', []));
        await tx.rollback();
        throw error;
      }
    },
  };
}

describe.each([
  ['Drizzle', withDrizzle],
  ['Kysely', withKysely],
  ['Knex', withKnex],
  ['Prisma’s pg adapter', withPrisma],
])('%s', (_, make) => {
  test('sees its own writes within a session, whichever replica answers', async () => {
    const mapper = make();
    for (let id = 1; id <= 10; id += 1) {
      const session = pool.session();
      await session.run(async () => {
        await mapper.insert(id, id * 10);
        expect(await mapper.stakeOf(id)).toBe(id * 10);
        await session.token();
        expect(await mapper.stakeOf(id)).toBe(id * 10);
      });
    }
  });

  test('reads from replicas', async () => {
    const mapper = make();
    await mapper.stakeOf(1);
    expect(statements.some((line) => /^a read goes to (prompt|late)/.test(line))).toBe(true);
  });

  test('keeps a transaction together on the primary, and rolls back a failed one', async () => {
    const mapper = make();
    const session = pool.session();
    await session.run(async () => {
      await mapper.insert(1, 7);
      await mapper.move(1, 2, false);
      expect([await mapper.stakeOf(1), await mapper.stakeOf(2)]).toEqual([undefined, 7]);
      await expect(mapper.move(2, 3, true)).rejects.toThrow('on purpose');
      expect([await mapper.stakeOf(2), await mapper.stakeOf(3)]).toEqual([7, undefined]);
    });
    expect((await primary.query('SELECT id, stake FROM bet')).rows).toEqual([{ id: 2, stake: 7 }]);
  });
});
