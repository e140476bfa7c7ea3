import { beforeAll, describe, expect, test } from 'vitest';
import { Keyspace } from '../keyspace.js';
import { loadParser } from '../sql/tree.js';
import { excludeSlots, isRerunnable, parseScatter, type RewriteScope } from './rewrite.js';

beforeAll(loadParser);

const scope: RewriteScope = {
  keyspace: new Keyspace({ name: 'k', keyType: 'bigint', hash: 'postgres', slots: 4096 }),
  tables: [
    { schema: 'public', name: 'users', key: 'id' },
    { schema: 'public', name: 'bets', key: 'user_id' },
  ],
  referenceTables: [{ schema: 'public', name: 'countries' }],
  userFunctions: new Set(['balance_of']),
};
const rewrite = (sql: string) =>
  excludeSlots(parseScatter(sql, true), scope, [3, 4]).replace(/\s+/g, ' ');
const guard = (alias: string, column: string) =>
  `(pg_catalog.hashint8extended(${alias}.${column}, 0) >> 52) & 4095 <> ALL (CAST('{3,4}' AS bigint[]))`;

describe('what a shard must not count is left out', () => {
  test('in the WHERE, beside what stands there', () => {
    expect(rewrite("SELECT name FROM users WHERE name = $1 OR name = 'x'")).toBe(
      `SELECT name FROM users WHERE (name = $1 OR name = 'x') AND ${guard('users', 'id')}`,
    );
  });

  test('of every table of an inner join, by its alias', () => {
    const sql = rewrite('SELECT u.name FROM users u JOIN public.bets AS b ON b.user_id = u.id');
    expect(sql).toContain(guard('u', 'id'));
    expect(sql).toContain(guard('b', 'user_id'));
  });

  test('inside a subselect where an outer join would make nulls of it', () => {
    const sql = rewrite('SELECT * FROM users u LEFT JOIN bets b ON b.user_id = u.id');
    expect(sql).toMatch(/LEFT JOIN \( ?SELECT \* FROM bets AS b WHERE .*user_id.*\) AS b ON/);
    expect(sql.endsWith(guard('u', 'id'))).toBe(true);
  });

  test('in subqueries, EXISTS, WITH and UNION ALL', () => {
    const sql = rewrite(
      `WITH rich AS (SELECT id FROM users) SELECT * FROM rich r
       WHERE EXISTS (SELECT 1 FROM bets b WHERE b.user_id = r.id)
       UNION ALL SELECT (SELECT max(id) FROM users x) FROM bets`,
    );
    for (const [alias, column] of [
      ['users', 'id'],
      ['b', 'user_id'],
      ['x', 'id'],
      ['bets', 'user_id'],
    ]) {
      expect(sql).toContain(guard(alias!, column!));
    }
  });

  test('a WITH that bears the name of a table is not that table', () => {
    const sql = rewrite('WITH users AS (SELECT user_id AS id FROM bets) SELECT * FROM users');
    expect(sql.split('hashint8extended')).toHaveLength(2);
  });

  test('reference tables and harmless functions stay as they are', () => {
    expect(rewrite('SELECT c.name FROM countries c, generate_series(1, 3) n')).not.toContain(
      'hash',
    );
  });
});

describe('what cannot be seen through is refused while slots move', () => {
  test.each([
    ['SELECT * FROM a_view', "'a_view' is neither a sharded table"],
    ['SELECT balance_of(id) FROM users', "function 'balance_of'"],
    ['SELECT * FROM all_bets()', "'all_bets' in its FROM"],
    ['SELECT * FROM users TABLESAMPLE SYSTEM (1)', 'RangeTableSample'],
  ])('%s', (sql, why) => {
    expect(() => rewrite(sql)).toThrow(why);
  });
});

describe('what cannot be put together is refused always', () => {
  test.each([
    ['INSERT INTO users VALUES (1)', 'one SELECT'],
    ['SELECT 1; SELECT 2', 'one SELECT'],
    ['WITH gone AS (DELETE FROM users RETURNING *) SELECT * FROM gone', 'it writes'],
    ['SELECT * FROM users FOR UPDATE', 'it locks rows'],
    ['SELECT * INTO copy FROM users', 'makes a table'],
    ['SELECT count(*) FROM users', 'totals or window functions'],
    ['SELECT 1 + sum(n) FROM users', 'totals or window functions'],
    ['SELECT row_number() OVER (ORDER BY id) FROM users', 'totals or window functions'],
    ['SELECT name FROM users GROUP BY name', 'GROUP BY'],
    ['SELECT DISTINCT name FROM users', 'DISTINCT'],
    ['SELECT * FROM users LIMIT 3', 'LIMIT'],
    ['SELECT * FROM users ORDER BY id', 'ORDER BY'],
    ['SELECT id FROM users UNION SELECT user_id FROM bets', 'UNION'],
  ])('%s', (sql, why) => {
    expect(() => parseScatter(sql, false)).toThrow(why);
  });

  test('totals of a subquery that belongs to one row are fine', () => {
    parseScatter(
      'SELECT id, (SELECT count(*) FROM bets b WHERE b.user_id = u.id) FROM users u',
      false,
    );
  });
});

test.each([
  ['SELECT * FROM users WHERE id = $1', true],
  ['UPDATE users SET n = n + 1 WHERE id = $1', true],
  ['DELETE FROM users WHERE id = $1', true],
  ['WITH gone AS (DELETE FROM users RETURNING *) SELECT * FROM gone WHERE false', false],
  ['WITH w AS (INSERT INTO log VALUES (1)) UPDATE users SET n = 1', false],
  ['CALL pay($1)', false],
  ['SELECT 1; SELECT 2', false],
])('%s may be run again: %s', (sql, expected) => {
  expect(isRerunnable(sql)).toBe(expected);
});
