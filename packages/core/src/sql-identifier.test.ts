import fc from 'fast-check';
import { loadModule, parseSync } from 'libpg-query';
import { beforeAll, describe, expect, test } from 'vitest';
import { quoteIdentifier, quoteInteger, quoteLiteral, quoteQualified } from './sql-identifier.js';

/**
 * The oracle: PostgreSQL's own grammar reads the generated text back. Whatever goes in must come out
 * as one name or one value, and nothing else of the statement may change.
 */
beforeAll(loadModule);

// biome-ignore lint/suspicious/noExplicitAny: the parse tree is the grammar's, walked by known paths
type Tree = any;

function parseOne(sql: string): Tree {
  const { stmts } = parseSync(sql) as Tree;
  expect(stmts).toHaveLength(1);
  return stmts[0].stmt.SelectStmt;
}

const hostile = [
  'plain',
  'Upper Case',
  '"',
  '""',
  `'; DROP TABLE users; --`,
  `a"; DROP TABLE users; --`,
  '\\',
  `\\'`,
  '/* */',
  '--',
  '$$',
  '$1',
  'ünï🚀',
  'select',
  'new\nline',
  'tab\t',
  '%I',
  '?',
];

const isCleanText = (text: string) => !text.includes('\0') && text.isWellFormed();
const text = fc.oneof(
  fc.constantFrom(...hostile),
  fc.string({ unit: 'binary', maxLength: 40 }).filter(isCleanText),
);
const name = text.filter((value) => value !== '' && Buffer.byteLength(value) <= 63);

describe('quoteIdentifier', () => {
  test('any name is read back as that one name', () => {
    fc.assert(
      fc.property(name, name, (schema, table) => {
        const tree = parseOne(`SELECT 1 FROM ${quoteQualified(schema, table)}`);
        expect(tree.fromClause[0].RangeVar).toMatchObject({ schemaname: schema, relname: table });
        expect(tree.whereClause).toBeUndefined();
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    ['', 'is empty'],
    ['a\0b', 'holds a NUL character'],
    ['\ud800', 'holds half a surrogate pair'],
    ['x'.repeat(64), 'has 64 bytes; PostgreSQL would cut it to 63'],
    ['é'.repeat(32), 'has 64 bytes; PostgreSQL would cut it to 63'],
  ])('refuses %j', (bad, why) => {
    expect(() => quoteIdentifier(bad)).toThrow(why);
    expect(() => quoteIdentifier(bad)).toThrow(
      expect.objectContaining({ code: 'IDENTIFIER_INVALID' }),
    );
  });
});

describe('quoteLiteral', () => {
  test('any text is read back as that one text', () => {
    fc.assert(
      fc.property(text, (value) => {
        const tree = parseOne(`SELECT ${quoteLiteral(value)} AS v`);
        expect(tree.targetList).toHaveLength(1);
        expect(tree.targetList[0].ResTarget.val.A_Const.sval.sval ?? '').toBe(value);
      }),
      { numRuns: 500 },
    );
  });

  test('refuses what PostgreSQL cannot store', () => {
    expect(() => quoteLiteral('a\0b')).toThrow('holds a NUL character');
    expect(() => quoteLiteral('\udc00')).toThrow('holds half a surrogate pair');
  });
});

describe('quoteInteger', () => {
  test('a negative number after a minus begins no comment', () => {
    const tree = parseOne(`SELECT 1 -${quoteInteger(-5)} AS v, 2 AS w`);
    expect(tree.targetList).toHaveLength(2);
  });

  test('keeps 64-bit bounds exact', () => {
    expect(quoteInteger(-(2n ** 63n))).toBe('(-9223372036854775808)');
    expect(quoteInteger(2n ** 63n - 1n)).toBe('9223372036854775807');
  });

  test.each([1.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY])('refuses %d', (bad) => {
    expect(() => quoteInteger(bad)).toThrow(
      expect.objectContaining({ code: 'IDENTIFIER_INVALID' }),
    );
  });
});
