import { type PostgresServer, startPostgres } from '@shardline/testkit';
import pg from 'pg';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import {
  type CatalogState,
  loadCatalog,
  migrateCatalog,
  publishFirst,
  requestHold,
  unacknowledgedRouters,
} from './catalog.js';
import { topologyOf } from './topology-file.js';
import { CatalogWatcher } from './watcher.js';

let server: PostgresServer;
let pool: pg.Pool;
beforeAll(async () => {
  server = await startPostgres({ name: 'watched' });
  pool = new pg.Pool({ connectionString: server.url });
  await server.withClient(async (client) => {
    await migrateCatalog(client as never);
    const users = { keyType: 'bigint' as const, slots: 16, owners: { a: '0-15' } };
    await publishFirst(client as never, topologyOf({ shards: { a: {} }, keyspaces: { users } }));
  });
});
afterAll(async () => {
  await pool?.end();
  await server?.stop();
});

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('the condition never came true');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test('a hold that did not drain is not acknowledged, and is tried again until it has', async () => {
  const state = await server.withClient((client) => loadCatalog(client as never));
  let isDrained = false;
  const applied: number[] = [];
  const errors: unknown[] = [];
  const watcher = new CatalogWatcher({
    pool: pool as never,
    routerId: '00000000-0000-4000-8000-00000000000a',
    routerName: 'test',
    version: '0',
    pollMs: 20,
    leaseMs: 60_000,
    listen: true,
    apply: async ({ revision, holds }: CatalogState) => {
      applied.push(revision);
      if (holds.length > 0 && !isDrained) throw new Error('calls are still in flight');
    },
    onError: (error) => errors.push(error),
  });
  // The listener is a connection of the pool, whose end waits for it.
  onTestFinished(() => watcher.close());
  await watcher.start(state as CatalogState);
  expect(watcher.lease.revision).toBe(1);

  const { revision } = await server.withClient((client) =>
    requestHold(client as never, 'users', [1]),
  );
  const waiting = () =>
    server.withClient((client) => unacknowledgedRouters(client as never, revision));
  await until(() => errors.length >= 3);
  expect(await waiting()).toHaveLength(1);
  isDrained = true;
  await until(async () => (await waiting()).length === 0);
  expect(applied).toEqual([1, ...errors.map(() => revision), revision]);
  await until(() => watcher.lease.revision === revision);

  await watcher.close();
  const { rows } = await pool.query('SELECT count(*)::int AS n FROM shardline.router');
  expect(rows).toEqual([{ n: 0 }]);
});

test('news is acted by and acknowledged though the next poll is far off, and news on news too', async () => {
  const state = await server.withClient((client) => loadCatalog(client as never));
  const applied: number[] = [];
  const errors: unknown[] = [];
  const watcher = new CatalogWatcher({
    pool: pool as never,
    routerId: '00000000-0000-4000-8000-00000000000b',
    routerName: 'test',
    version: '0',
    pollMs: 3_600_000,
    leaseMs: 3_600_000,
    listen: true,
    apply: async ({ revision }: CatalogState) => void applied.push(revision),
    onError: (error) => errors.push(error),
  });
  // The listener is a connection of the pool, whose end waits for it.
  onTestFinished(() => watcher.close());
  await watcher.start(state as CatalogState);
  // What is announced before LISTEN has taken effect wakes nobody, so it is announced until somebody is woken.
  await until(async () => {
    await server.withClient((client) => requestHold(client as never, 'users', [2]));
    return applied.length > 1;
  });

  let newest = 0;
  for (let slot = 3; slot < 13; slot += 1) {
    const hold = await server.withClient((client) => requestHold(client as never, 'users', [slot]));
    newest = hold.revision;
  }
  await until(async () => {
    const waiting = await server.withClient((client) =>
      unacknowledgedRouters(client as never, newest),
    );
    return waiting.length === 0;
  });
  expect(applied).toEqual([...applied].sort((one, other) => one - other));
  expect(applied.at(-1)).toBe(newest);
  await until(() => watcher.lease.revision === newest);
  expect(errors).toEqual([]);
  await watcher.close();
});
