import { beforeAll, describe, expect, test } from 'vitest';
import { loadParser, type Node } from '../sql/tree.js';
import { analyseColocation, type ColocationScope } from './colocation.js';
import { parseScatter } from './rewrite.js';

beforeAll(loadParser);

const scope: ColocationScope = {
  tables: [
    { schema: 'public', name: 'users', key: 'id' },
    { schema: 'public', name: 'bets', key: 'user_id' },
    { schema: 'public', name: 'notes', key: 'user_id' },
  ],
  referenceTables: [{ schema: 'public', name: 'countries' }],
  elsewhere: [{ schema: 'public', name: 'settings', where: "lies on shard 'a' alone" }],
};
const analyse = (sql: string) =>
  analyseColocation(parseScatter(sql, true)['SelectStmt'] as Node, scope);

describe('what is whole on every shard is accepted', () => {
  test.each([
    ['one table', 'SELECT * FROM bets WHERE stake > 5'],
    ['a join on the key', 'SELECT * FROM users u JOIN bets b ON b.user_id = u.id'],
    ['the key in WHERE', 'SELECT * FROM users, bets WHERE users.id = bets.user_id AND stake > 5'],
    ['USING', 'SELECT user_id FROM bets JOIN notes USING (user_id)'],
    ['NATURAL, where both have the key column', 'SELECT * FROM bets NATURAL JOIN notes'],
    [
      'a row of columns',
      'SELECT 1 FROM bets b JOIN notes n ON (b.user_id, b.x) = (n.user_id, n.x)',
    ],
    [
      'two keys by way of a third',
      'SELECT 1 FROM bets b, notes n, users u WHERE b.user_id = u.id AND n.user_id = b.user_id',
    ],
    [
      'a join that a later ON ties',
      'SELECT 1 FROM (bets b CROSS JOIN notes n) JOIN users u ON b.user_id = u.id AND n.user_id = u.id',
    ],
    [
      'two keys of one value',
      'SELECT 1 FROM bets b, notes n WHERE b.user_id = $1 AND n.user_id = $1',
    ],
    ['an outer join on the key', 'SELECT 1 FROM users u LEFT JOIN bets b ON b.user_id = u.id'],
    ['a full join on the key', 'SELECT 1 FROM users u FULL JOIN bets b ON b.user_id = u.id'],
    [
      'outer joins in a row',
      'SELECT 1 FROM users u LEFT JOIN bets b ON b.user_id = u.id LEFT JOIN notes n ON n.user_id = b.user_id',
    ],
    ['a reference table', 'SELECT 1 FROM users u JOIN countries c ON c.code = u.country'],
    [
      'a reference table that may be missing',
      'SELECT 1 FROM users u LEFT JOIN countries c USING (code)',
    ],
    [
      'a subquery with the key',
      'SELECT 1 FROM users u JOIN (SELECT user_id FROM bets) b ON b.user_id = u.id',
    ],
    [
      'a star that holds the key',
      'SELECT 1 FROM users u JOIN (SELECT * FROM bets) b ON b.user_id = u.id',
    ],
    [
      'a subquery grouped by the key',
      'SELECT 1 FROM users u JOIN (SELECT user_id AS who, sum(stake) FROM bets GROUP BY 1) b ON b.who = u.id',
    ],
    [
      'a renamed column of a subquery',
      'SELECT 1 FROM users u JOIN (SELECT max(stake), user_id FROM bets GROUP BY user_id) AS b(top, who) ON b.who = u.id',
    ],
    [
      'WITH',
      'WITH b AS (SELECT user_id FROM bets) SELECT 1 FROM users u JOIN b ON b.user_id = u.id',
    ],
    [
      'EXISTS on the key',
      'SELECT 1 FROM users u WHERE EXISTS (SELECT 1 FROM bets b WHERE b.user_id = u.id)',
    ],
    [
      'NOT EXISTS on the key',
      'SELECT 1 FROM users u WHERE NOT EXISTS (SELECT FROM bets b WHERE b.user_id = u.id)',
    ],
    [
      'IN of the key',
      'SELECT 1 FROM users u WHERE u.id IN (SELECT user_id FROM bets WHERE stake > 5)',
    ],
    ['NOT IN of the key', 'SELECT 1 FROM users u WHERE id NOT IN (SELECT user_id FROM bets)'],
    [
      'a tied total',
      'SELECT (SELECT count(*) FROM bets b WHERE b.user_id = u.id LIMIT 1) FROM users u',
    ],
    [
      'a tied lateral subquery',
      'SELECT 1 FROM users u LEFT JOIN LATERAL (SELECT * FROM bets b WHERE b.user_id = u.id ORDER BY id LIMIT 3) x ON true',
    ],
    [
      'a window over the key',
      'SELECT * FROM (SELECT user_id, rank() OVER (PARTITION BY user_id ORDER BY stake) FROM bets) x',
    ],
    [
      'a named window over the key',
      'SELECT * FROM (SELECT rank() OVER w FROM bets WINDOW w AS (PARTITION BY user_id)) x',
    ],
    ['DISTINCT with the key', 'SELECT * FROM (SELECT DISTINCT user_id, kind FROM bets) x'],
    ['UNION ALL of sharded tables', 'SELECT id FROM users UNION ALL SELECT user_id FROM bets'],
    ['UNION with the key', 'SELECT * FROM (SELECT id FROM users UNION SELECT user_id FROM bets) x'],
    [
      'a set of constants',
      'SELECT 1 FROM users u JOIN generate_series(1, 3) AS g(n) ON g.n = u.level',
    ],
    [
      'a view, which nobody can see through',
      'SELECT 1 FROM users u JOIN my_view v ON v.user_id = u.id',
    ],
    ['no table', 'SELECT 1'],
    [
      'a recursive query along the key',
      'WITH RECURSIVE t AS (SELECT user_id, id FROM bets UNION ALL SELECT b.user_id, b.id FROM bets b JOIN t ON t.user_id = b.user_id AND b.parent = t.id) SELECT * FROM t',
    ],
  ])('%s', (_, sql) => {
    expect(() => analyse(sql)).not.toThrow();
  });
});

describe('what would miss or repeat rows is refused, with advice', () => {
  test.each([
    ['a cross join', 'SELECT 1 FROM users, bets', /join on users\.id = bets\.user_id/],
    [
      'a join on another column',
      'SELECT 1 FROM users u JOIN bets b ON b.opponent_id = u.id',
      /b\.user_id/,
    ],
    [
      'a join by inequality',
      'SELECT 1 FROM users u JOIN bets b ON b.user_id >= u.id',
      /by their key/,
    ],
    [
      'a join by OR',
      'SELECT 1 FROM users u JOIN bets b ON b.user_id = u.id OR b.opponent_id = u.id',
      /by their key/,
    ],
    [
      'a self-join on another column',
      'SELECT 1 FROM bets a JOIN bets b ON a.game = b.game',
      /by their key/,
    ],
    [
      'tables that an outer join only seems to tie',
      'SELECT 1 FROM users u CROSS JOIN bets b LEFT JOIN notes n ON n.user_id = u.id AND u.id = b.user_id',
      /'u' and 'b'/,
    ],
    [
      'two casts of one parameter',
      'SELECT 1 FROM bets b, notes n WHERE b.user_id = $1::int AND n.user_id = $1::numeric',
      /by their key/,
    ],
    ['USING of another column', 'SELECT 1 FROM bets JOIN notes USING (kind)', /by their key/],
    [
      'a subquery without the key',
      'SELECT 1 FROM users u JOIN (SELECT id FROM bets) b ON b.id = u.id',
      /by their key/,
    ],
    [
      'EXISTS on another column',
      'SELECT 1 FROM users u WHERE EXISTS (SELECT 1 FROM bets b WHERE b.opponent_id = u.id)',
      /tied to the key/,
    ],
    [
      'a bare name that belongs to the subquery',
      'SELECT 1 FROM users WHERE EXISTS (SELECT 1 FROM bets WHERE user_id = id)',
      /tied to the key/,
    ],
    [
      'IN of another column',
      'SELECT 1 FROM users u WHERE u.id IN (SELECT opponent_id FROM bets)',
      /tied to the key/,
    ],
    [
      'NOT IN of another column',
      'SELECT 1 FROM users u WHERE u.code NOT IN (SELECT user_id FROM bets)',
      /tied to the key/,
    ],
    [
      'a total over all',
      'SELECT 1 FROM bets WHERE stake > (SELECT avg(stake) FROM bets)',
      /totals over rows of several shards/,
    ],
    [
      'a subquery over all rows',
      'SELECT 1 FROM bets WHERE stake > ALL (SELECT stake FROM bets)',
      /tied to the key/,
    ],
    ['a total in FROM', 'SELECT * FROM (SELECT count(*) FROM bets) x', /group it by the key/],
    [
      'groups of another column',
      'SELECT * FROM (SELECT kind, count(*) FROM bets GROUP BY kind) x',
      /group it by the key/,
    ],
    ['DISTINCT without the key', 'SELECT * FROM (SELECT DISTINCT kind FROM bets) x', /DISTINCT/],
    ['LIMIT in FROM', 'SELECT * FROM (SELECT * FROM bets ORDER BY id LIMIT 3) x', /LIMIT/],
    ['LIMIT in IN', 'SELECT 1 FROM users WHERE id IN (SELECT user_id FROM bets LIMIT 3)', /LIMIT/],
    ['LIMIT in WITH', 'WITH b AS (SELECT * FROM bets LIMIT 3) SELECT * FROM b', /LIMIT/],
    [
      'a window over all',
      'SELECT * FROM (SELECT rank() OVER (ORDER BY stake) FROM bets) x',
      /partition it by the key/,
    ],
    [
      'UNION without the key',
      'SELECT * FROM (SELECT name FROM users UNION SELECT kind FROM bets) x',
      /both sides/,
    ],
    [
      'UNION ALL with what is the same everywhere',
      "SELECT name FROM users UNION ALL SELECT 'x'",
      /same on every shard/,
    ],
    [
      'a kept reference table',
      'SELECT 1 FROM countries c LEFT JOIN users u ON u.code = c.code',
      /turn the join round/,
    ],
    [
      'a reference table in a full join',
      'SELECT 1 FROM users u FULL JOIN countries c ON u.code = c.code',
      /turn the join round/,
    ],
    ['reference tables alone', 'SELECT * FROM countries', /router\.reference/],
    [
      'a table of another place',
      'SELECT 1 FROM users u JOIN settings s ON s.name = u.name',
      /'settings' lies on shard 'a' alone/,
    ],
    [
      'a recursive query along another column',
      'WITH RECURSIVE t AS (SELECT user_id, id FROM bets UNION ALL SELECT b.user_id, b.id FROM bets b JOIN t ON b.parent = t.id) SELECT * FROM t',
      /by their key/,
    ],
  ])('%s', (_, sql, advice) => {
    expect(() => analyse(sql)).toThrow(
      expect.objectContaining({ code: 'SCATTER_REFUSED', message: expect.stringMatching(advice) }),
    );
  });
});

describe('the keys that a statement names', () => {
  test.each([
    ['SELECT * FROM bets WHERE user_id = $2 AND stake > $1', { parameter: 2 }],
    ['SELECT * FROM bets b WHERE 7 = b.user_id', { constant: '7' }],
    ['SELECT * FROM bets b WHERE b.user_id = 0', { constant: '0' }],
    ["SELECT * FROM bets b WHERE b.user_id = '12'::bigint", { constant: '12' }],
    ['SELECT * FROM bets b JOIN users u ON u.id = b.user_id WHERE u.id = $1', { parameter: 1 }],
    ['SELECT * FROM bets WHERE user_id = $1 OR stake > 3', undefined],
    ['SELECT * FROM bets WHERE opponent_id = $1', undefined],
    ['SELECT * FROM bets WHERE user_id = NULL', undefined],
  ])('%s', (sql, key) => {
    expect(analyse(sql).key).toEqual(key);
  });

  test('in a list, or in a parameter that holds one', () => {
    expect(analyse('SELECT * FROM bets WHERE user_id IN (1, $2)').keys).toEqual([
      { constant: '1' },
      { parameter: 2 },
    ]);
    expect(analyse('SELECT * FROM bets WHERE user_id = ANY ($1::bigint[])').keys).toEqual({
      listParameter: 1,
    });
    expect(analyse('SELECT * FROM bets WHERE user_id NOT IN (1, 2)').keys).toBeUndefined();
    expect(analyse('SELECT * FROM bets WHERE stake IN (1, 2)').keys).toBeUndefined();
  });
});
