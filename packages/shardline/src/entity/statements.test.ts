import fc from 'fast-check';
import { loadModule, parseSync } from 'libpg-query';
import { beforeAll, describe, expect, test } from 'vitest';
import { deleteOne, type EntityTable, insertOne, selectMany, update } from './statements.js';

beforeAll(loadModule);

const users: EntityTable = { entity: 'users', table: 'users', key: 'user_id', id: undefined };
const bets: EntityTable = { entity: 'bets', table: 'bets', key: 'creator_id', id: 'bet_id' };

describe('selectMany', () => {
  test('is one text for any number of rows', () => {
    expect(selectMany(users)).toBe('SELECT * FROM "users" WHERE "user_id" = ANY ($1)');
    expect(selectMany(bets)).toBe(
      'SELECT * FROM "bets" WHERE "creator_id" = ANY ($1) AND "bet_id" = ANY ($2)',
    );
  });
});

describe('insertOne', () => {
  test('the order in which a row names its columns makes no new text', () => {
    const one = insertOne(users, { user_id: 1n, name: 'a' });
    const other = insertOne(users, { name: 'b', user_id: 2n });
    expect(other.text).toBe(one.text);
    expect([one.values, other.values]).toEqual([
      ['a', 1n],
      ['b', 2n],
    ]);
  });
});

describe('update and deleteOne', () => {
  test('name the row by key and id', () => {
    expect(update(bets, { key: 7n, id: 'x' }, { stake: 9n })).toEqual({
      text: 'UPDATE "bets" SET "stake" = $1 WHERE "creator_id" = $2 AND "bet_id" = $3 RETURNING *',
      values: [9n, 7n, 'x'],
    });
    expect(deleteOne(users, { key: 7n, id: undefined })).toEqual({
      text: 'DELETE FROM "users" WHERE "user_id" = $1 RETURNING *',
      values: [7n],
    });
  });

  test.each(['creator_id', 'bet_id'])(
    'a change of %s is refused: it would leave its shard',
    (column) => {
      expect(() => update(bets, { key: 7n, id: 'x' }, { [column]: 1 })).toThrow(
        expect.objectContaining({ code: 'ENTITY_KEY_IMMUTABLE' }),
      );
    },
  );
});

test('whatever the columns are called, each statement is one statement of its kind', () => {
  const name = fc.oneof(
    fc.constantFrom('"', `x"; DROP TABLE users; --`, 'select', 'a b', '$1', "'"),
    fc.string({ minLength: 1, maxLength: 20 }).filter((text) => !text.includes('\0')),
  );
  fc.assert(
    fc.property(
      name,
      name,
      fc.uniqueArray(name, { minLength: 1, maxLength: 5 }),
      (table, id, columns) => {
        const hostile: EntityTable = { entity: 'e', table, key: 'the key', id };
        const changes = Object.fromEntries(
          columns.filter((column) => column !== id).map((c) => [c, 1]),
        );
        fc.pre(Object.keys(changes).length > 0);
        const row = { key: 1, id: 2 };
        const kinds = [
          [{ text: selectMany(hostile) }, 'SelectStmt'],
          [insertOne(hostile, { ...changes, 'the key': 1 }), 'InsertStmt'],
          [update(hostile, row, changes), 'UpdateStmt'],
          [deleteOne(hostile, row), 'DeleteStmt'],
        ] as const;
        for (const [{ text }, kind] of kinds) {
          const { stmts } = parseSync(text) as { stmts: { stmt: object }[] };
          expect(stmts.map(({ stmt }) => Object.keys(stmt)[0])).toEqual([kind]);
        }
      },
    ),
    { numRuns: 300 },
  );
});
