import { type PostgresServer, startPostgres } from '@shardline/testkit';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestHost } from './test-host/test-host.js';

/** The verbs that move nothing, against real databases: a catalog and two shards on one server. */
let server: PostgresServer;
let host: TestHost;
const urls: Record<string, string> = {};

beforeAll(async () => {
  server = await startPostgres({ name: 'cli' });
  for (const name of ['catalog', 'one', 'two']) urls[name] = await server.createDatabase(name);
  for (const name of ['one', 'two']) {
    await on(name, 'CREATE TABLE users (user_id bigint PRIMARY KEY, name text)');
  }
  host = new TestHost({
    config: {
      name: 'shop',
      catalog: urls['catalog'],
      shards: { one: { primary: urls['one'] }, two: { primary: urls['two'] } },
      keyspaces: { users: { keyType: 'bigint', slots: 16 } },
      entities: { users: { table: 'users', keyspace: 'users', key: 'user_id' } },
    },
  });
});

afterAll(async () => {
  host?.[Symbol.dispose]();
  await server?.stop();
});

async function on(name: string, sql: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: urls[name] as string });
  await client.connect();
  try {
    return await client.query(sql);
  } finally {
    await client.end();
  }
}

async function json(...words: string[]) {
  const { exitCode, output, errors } = await host.call(...words, '--json');
  return { exitCode, document: JSON.parse(output === '' ? errors : output) };
}

describe('against servers', () => {
  test('a catalog that is not there yet is told with what makes it', async () => {
    expect(await json('locate', '1')).toMatchObject({
      exitCode: 1,
      document: { code: 'CATALOG_MISSING' },
    });
  });

  test('init --apply says first what it would do, with the SQL of every migration', async () => {
    const { output } = await host.call('init', '--apply', '--dry-run');
    expect(output).toMatch(/catalog: migration 1 \(catalog\) of schema shardline\n {4}.*/);
    expect(output).toContain("publish the first map of keyspace 'users': 16 slots over one, two");
    expect(output).toContain('one: put table "public"."users" under guard');
    expect((await on('catalog', "SELECT to_regnamespace('shardline') AS at")).rows).toEqual([
      { at: null },
    ]);
  });

  test('init --apply is refused where nobody can say yes', async () => {
    expect(await json('init', '--apply')).toMatchObject({
      exitCode: 1,
      document: { code: 'CLI_CONFIRMATION_NEEDED' },
    });
  });

  test('init --apply makes catalog and shards, and has nothing to do the second time', async () => {
    expect((await json('init', '--apply', '--yes')).exitCode).toBe(0);
    const second = await json('init', '--apply', '--yes');
    expect(second).toMatchObject({ exitCode: 0, document: { steps: [] } });
  });

  test('a key is located by the catalog alone, which no router is told of', async () => {
    const { document } = await json('locate', '1', '2', '9007199254740993');
    expect(document.keys).toHaveLength(3);
    for (const { slot, shard } of document.keys) {
      expect(slot).toBeLessThan(16);
      expect(['one', 'two']).toContain(shard);
    }
    expect((await on('catalog', 'SELECT * FROM shardline.router')).rows).toEqual([]);
  });

  test('a key that is none is refused by its name', async () => {
    expect(await json('locate', 'forty-two')).toMatchObject({
      exitCode: 1,
      document: { code: 'KEY_INVALID' },
    });
  });

  test('a write by key asks for a yes, and goes to the shard that owns the key', async () => {
    const insert = [
      'exec',
      'INSERT INTO users VALUES ($1, $2)',
      '--param',
      '1',
      'Ada',
      '--key',
      '1',
    ];
    expect((await json(...insert)).document.code).toBe('CLI_CONFIRMATION_NEEDED');
    const { document } = await json(...insert, '--yes');
    expect(document).toMatchObject({ command: 'INSERT', rowCount: 1 });
    const located = await json('locate', '1');
    expect(located.document.keys[0].shard).toBe(document.shard);
  });

  test('rows by key and merged rows are printed, bigints whole', async () => {
    const key = '9007199254740993';
    await host.call(
      'exec',
      'INSERT INTO users VALUES ($1, $2)',
      '--param',
      key,
      'Bo',
      '--key',
      key,
      '--yes',
    );
    const byKey = await host.call(
      'exec',
      'SELECT * FROM users WHERE user_id = $1',
      '--param',
      key,
      '--key',
      key,
    );
    expect(byKey.output).toMatch(/9007199254740993 {2}Bo/);
    const { document } = await json('exec', 'SELECT user_id, name FROM users');
    expect(document.rows).toHaveLength(2);
    expect(document.rows).toContainEqual({ user_id: key, name: 'Bo' });
  });

  test('as lines of JSON every row is one, whatever --rows says', async () => {
    const { output } = await host.call('exec', 'SELECT name FROM users', '--ndjson', '--rows', '1');
    const lines = output
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map(({ kind }) => kind)).toEqual(['row', 'row', 'exec']);
    const cut = await json('exec', 'SELECT name FROM users', '--rows', '1');
    expect(cut.document).toMatchObject({ rowCount: 1, isCut: true });
  });

  test('what a terminal would obey is shown and not obeyed', async () => {
    await on('one', 'CREATE TABLE evil (t text)');
    await on('two', 'CREATE TABLE evil (t text)');
    await on('one', `INSERT INTO evil VALUES (E'\\u001b[2Jgone')`);
    const { output } = await host.call('exec', 'SELECT t FROM evil');
    expect(output).toContain('\\x1b[2Jgone');
    expect(output).not.toContain('\u001b');
  });

  test('DDL runs on every shard; a shard that fails is named, and the next command is for it alone', async () => {
    const ddl = ['exec', 'ALTER TABLE users ADD COLUMN note text', '--everywhere', '--yes'];
    expect(
      (await json(...ddl)).document.outcomes.map((each: { status: string }) => each.status),
    ).toEqual(['done', 'done']);
    await on('one', 'ALTER TABLE users DROP COLUMN note');
    const { exitCode, document } = await json(...ddl);
    expect(exitCode).toBe(1);
    expect(document.outcomes).toMatchObject([
      { shard: 'one', status: 'done' },
      { shard: 'two', status: 'failed', error: { code: '42701' } },
    ]);
    expect(document.next).toEqual(['shardline exec SQL --everywhere --only two']);
  });

  test('a statement is explained without being run', async () => {
    const { exitCode, document } = await json(
      'explain',
      'DELETE FROM users WHERE user_id = $1',
      '--param',
      '1',
    );
    expect(exitCode).toBe(0);
    expect(document).toMatchObject({ rule: 'key-in-statement', keyspace: 'users' });
    expect(document.shards).toHaveLength(1);
    const text = await host.call('explain', 'SELECT * FROM users');
    expect(text.output).toContain('scatter');
    const { rows } = await on(document.shards[0].shard, 'SELECT count(*)::int AS count FROM users');
    expect(rows[0].count).toBeGreaterThan(0);
  });

  test('exec --dry-run runs nothing', async () => {
    const { output } = await host.call('exec', 'TRUNCATE users', '--everywhere', '--dry-run');
    expect(output).toContain('On every shard: one, two.');
    expect((await json('exec', 'SELECT name FROM users')).document.rows).toHaveLength(2);
  });
});
