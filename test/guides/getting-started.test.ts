import { startPostgres, startRedis } from '@shardline/testkit';
import { expect, test } from 'vitest';
import { pageModules } from './page-modules.js';

interface App {
  readonly seen: {
    readonly before: string;
    readonly after: string;
    readonly found: number;
    readonly totals: unknown;
    readonly isAllowed: boolean;
    readonly ownerOfTwo: { readonly shard: string };
  };
}

test('the code of the guide does what the guide says', async () => {
  await using one = await startPostgres({ name: 'one' });
  await using two = await startPostgres({ name: 'two' });
  await using redis = await startRedis();
  process.env['SHOP_ONE'] = one.url;
  process.env['SHOP_TWO'] = two.url;
  process.env['SHOP_REDIS'] = redis.url;
  using page = pageModules('getting-started');

  await page.import('set-up.ts');
  const { seen } = await page.import<App>('app.ts');
  expect(seen).toMatchObject({
    before: 'Grace',
    after: 'Grace H.',
    found: 3,
    totals: { count: '3', turnover: '3750' },
    isAllowed: true,
    ownerOfTwo: { kind: 'one' },
  });

  const misplaced = `INSERT INTO customers SELECT id, 'misplaced' FROM generate_series(100, 120) id`;
  await expect(one.query(misplaced)).rejects.toMatchObject({
    code: 'SL001',
    message: expect.stringMatching(/^INSERT on customers refused: slot \d+/),
  });
});
