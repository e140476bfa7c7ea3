import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AggregatePlan } from './aggregate.js';
import { comparatorFor } from './compare.js';
import { addDecimals, compareDecimals, divideDecimal } from './decimal.js';
import { concatenate, mergeSorted, type RawRow, type RowSource, rowComparator } from './merge.js';

class ListSource implements RowSource {
  #batches: RawRow[][];
  #current: RawRow[] = [];
  constructor(rows: readonly RawRow[], batch = 2) {
    this.#batches = [];
    for (let at = 0; at < rows.length; at += batch) this.#batches.push(rows.slice(at, at + batch));
  }
  take() {
    return this.#current.shift();
  }
  async more() {
    if (this.#current.length > 0) return true;
    this.#current = this.#batches.shift() ?? [];
    return this.#current.length > 0;
  }
}

const columns = [
  { name: 'n', typeId: 20 },
  { name: 't', typeId: 25 },
];
const terms = [
  { column: 'n', direction: 'desc' as const, nulls: 'last' as const },
  { column: 't', collation: 'C' as const },
];
const rawRow = fc.tuple(
  fc.option(fc.bigInt({ min: -5n, max: 5n }).map(String)),
  fc.option(fc.string({ unit: 'binary', maxLength: 3 })),
) as fc.Arbitrary<RawRow>;

async function collect(rows: AsyncIterable<RawRow>): Promise<RawRow[]> {
  const all: RawRow[] = [];
  for await (const row of rows) all.push(row);
  return all;
}

describe('the k-way merge', () => {
  const compare = rowComparator(columns, terms);

  test('gives what sorting everything would give', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(rawRow, { maxLength: 12 }), { maxLength: 6 }),
        async (lists) => {
          const sorted = lists.map((list) => [...list].sort(compare));
          const merged = await collect(
            mergeSorted(
              sorted.map((list) => new ListSource(list)),
              compare,
            ),
          );
          expect(merged).toEqual(lists.flat().sort(compare));
        },
      ),
    );
  });

  test('without an order every row comes once', async () => {
    const lists = [
      [['1', 'a']],
      [],
      [
        ['2', 'b'],
        ['3', 'c'],
        ['4', 'd'],
      ],
    ] as RawRow[][];
    const all = await collect(concatenate(lists.map((list) => new ListSource(list))));
    expect(all.map(([n]) => n).sort()).toEqual(['1', '2', '3', '4']);
  });

  test('a column whose order cannot be told is refused', () => {
    expect(() => comparatorFor(114, 'body')).toThrow(
      expect.objectContaining({ code: 'SCATTER_REFUSED' }),
    );
    expect(() => comparatorFor(25, 'name')).toThrow("State `collation: 'C'`");
  });
});

describe('the order of values', () => {
  test.each<[string, number, string[]]>([
    ['bigint', 20, ['-9223372036854775808', '-1', '0', '9007199254740993', '9223372036854775807']],
    [
      'numeric',
      1700,
      ['-Infinity', '-1.5', '-1', '0.10', '0.2', '1e', 'Infinity', 'NaN'].filter((x) => x !== '1e'),
    ],
    ['float8', 701, ['-Infinity', '-1e300', '-0.1', '1e-300', '2', 'Infinity', 'NaN']],
    ['boolean', 16, ['f', 't']],
    [
      'date',
      1082,
      [
        '-infinity',
        '4713-01-01 BC',
        '0001-12-31 BC',
        '0001-01-01',
        '1969-12-31',
        '2026-02-28',
        '10000-01-01',
        'infinity',
      ],
    ],
    [
      'timestamptz',
      1184,
      [
        '2026-10-25 02:59:59.999999+02',
        '2026-10-25 02:00:00+01',
        '2026-10-25 02:00:00.000001+01',
        '2026-10-24 21:00:00.5-04:30',
      ],
    ],
    ['text', 25, ['', 'A', 'Z', 'a', 'aa', 'é', '\uffff', '🚀']],
    [
      'uuid',
      2950,
      ['00000000-0000-0000-0000-000000000000', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
    ],
  ])('%s', (_, typeId, ascending) => {
    const compare = comparatorFor(typeId, 'c', 'C');
    for (const [at, value] of ascending.entries()) {
      expect(compare(value, value)).toBe(0);
      const next = ascending[at + 1];
      if (next !== undefined) {
        expect(compare(value, next), `${value} < ${next}`).toBeLessThan(0);
        expect(compare(next, value)).toBeGreaterThan(0);
      }
    }
  });
});

describe('exact totals', () => {
  const hundredths = fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n });
  const text = (units: bigint) => {
    const digits = String(units < 0n ? -units : units).padStart(3, '0');
    return `${units < 0n ? '-' : ''}${digits.slice(0, -2)}.${digits.slice(-2)}`;
  };

  test('sums are those of whole numbers', () => {
    fc.assert(
      fc.property(hundredths, hundredths, (a, b) => {
        expect(addDecimals(text(a), text(b))).toBe(text(a + b));
        expect(Math.sign(compareDecimals(text(a), text(b)))).toBe(a < b ? -1 : a > b ? 1 : 0);
      }),
    );
  });

  test('scales are kept and quotients rounded half away from zero', () => {
    expect(addDecimals('1', '0.50')).toBe('1.50');
    expect(addDecimals('-0.25', '0.2')).toBe('-0.05');
    expect(divideDecimal('1', 3n)).toBe('0.3333333333333333');
    expect(divideDecimal('-2', 3n)).toBe('-0.6666666666666667');
    expect(divideDecimal('NaN', 3n)).toBe('NaN');
  });

  test('parts of shards become one row per group', () => {
    const plan = new AggregatePlan(['g'], { n: 'count', mean: { avg: 'x' }, top: { max: 'x' } });
    const totals = plan.accumulator();
    totals.describe([
      { name: 'c0', typeId: 25 },
      { name: 'c1', typeId: 20 },
      { name: 'c2', typeId: 20 },
      { name: 'c3', typeId: 20 },
      { name: 'c4', typeId: 23 },
    ]);
    totals.add(['a', '2', '5', '2', '4']);
    totals.add(['b', '1', null, '0', null]);
    totals.add(['a', '1', '2', '1', '2']);
    totals.add([null, '1', '7', '1', '7']);
    expect([...totals.rows()]).toEqual([
      ['a', '3', '2.3333333333333333', '4'],
      ['b', '1', null, null],
      [null, '1', '7.0000000000000000', '7'],
    ]);
    expect(totals.columns.map(({ name }) => name)).toEqual(['g', 'n', 'mean', 'top']);
  });
});
