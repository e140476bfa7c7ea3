import { type ChildProcess, spawn } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import {
  createRouter,
  type Router,
  releaseHold,
  requestHold,
  unacknowledgedRouters,
} from '@shardline/shard-router';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bundle } from '../bundle.js';
import { type Cluster, startCluster, until } from './cluster.js';

/** What a router does when its catalog dies, when nobody wakes it, and when it has been frozen over a switch. */
let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
});

const keyOn = (router: Router, shard: string, from: number): number => {
  for (let key = from; ; key += 1) {
    const decision = router.explain(key);
    if (decision.kind === 'one' && decision.shard === shard) return key;
  }
};

test('a catalog that is killed under load fails no query, and is followed again when it is back', async () => {
  await using router = await createRouter({
    ...cluster.options,
    pollInterval: '100ms',
    lease: '500ms',
  });
  const failures: unknown[] = [];
  let done = 0;
  let isRunning = true;
  const callers = Array.from({ length: 8 }, async (_, caller) => {
    for (let turn = 0; isRunning; turn += 1) {
      const id = 1_000_000 + caller * 100_000 + turn;
      try {
        await router.query(id, 'INSERT INTO users VALUES ($1, $2)', [id, turn]);
        const { rows } = await router.query(id, 'SELECT version FROM users WHERE id = $1', [id]);
        expect(rows).toEqual([{ version: turn }]);
        await router.transaction(id, (transaction) =>
          transaction.query('UPDATE users SET version = version + 1 WHERE id = $1', [id]),
        );
        done += 1;
      } catch (error) {
        failures.push(error);
      }
    }
  });
  const isLeased = () => router.health().catalog?.leased === true;
  await until('the router is leased', isLeased);
  const atRest = done;
  await until('calls were made under the lease', () => done > atRest + 50);

  await cluster.catalog.kill();
  await until('the lease has ended', () => !isLeased());
  const verified = done;
  await until('calls were made without it', () => done > verified + 200);
  const rows = await router
    .scatter('SELECT id FROM users', [], { aggregate: { n: 'count' } })
    .all();
  expect(Number(rows[0]?.['n'])).toBeGreaterThan(200);

  await cluster.catalog.restart();
  await until('the router is leased again', isLeased);
  isRunning = false;
  await Promise.all(callers);
  expect(failures).toEqual([]);
});

test('a new epoch arrives when the notification is lost, and at once when it is not', async () => {
  await using polling = await createRouter({
    ...cluster.options,
    name: 'polling',
    pollInterval: '200ms',
  });
  await using waiting = await createRouter({
    ...cluster.options,
    name: 'waiting',
    pollInterval: '10m',
  });
  const { keyspace } = polling.keyspace('users');
  const listeners = () =>
    cluster.direct('catalog', async (client) => {
      const { rows } = await client.query(
        `SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND pid <> pg_backend_pid()`,
      );
      return rows.map(({ pid }) => pid as number);
    });
  await until('both routers listen', async () => (await listeners()).length === 2);

  const first = await cluster.move(keyspace, keyspace.slotOf(keyOn(polling, 'a', 0)), 'a', 'b');
  await until('the waiting router was woken', () => waiting.topology.epoch === first.epoch);

  await cluster.direct('catalog', async (client) => {
    // Nobody listens at the moment of the change: what was announced then is lost for good.
    await client.query('SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid', [
      await listeners(),
    ]);
  });
  const second = await cluster.move(keyspace, keyspace.slotOf(keyOn(polling, 'a', 0)), 'a', 'b');
  await until('polling found the epoch', () => polling.topology.epoch === second.epoch);
});

test('a router that was frozen past its lease serves nothing stale when it is thawed', async () => {
  await using router = await createRouter({
    ...cluster.options,
    name: 'writer',
    pollInterval: '100ms',
  });
  const key = keyOn(router, 'a', 5000);
  const { keyspace } = router.keyspace('users');
  await router.query(key, 'INSERT INTO users VALUES ($1, 1)', [key]);
  const reader = await startReader(key);
  try {
    await until(
      'the reader reads under its lease',
      () => reader.reads.filter(({ leased }) => leased).length > 100,
    );
    reader.child.kill('SIGSTOP');

    const { id, revision } = await cluster.direct('catalog', (client) =>
      requestHold(client, 'users', [keyspace.slotOf(key)]),
    );
    // The frozen one cannot acknowledge: a switch waits until its lease is over, and then need not wait for it.
    const live = () =>
      cluster.direct('catalog', (client) => unacknowledgedRouters(client, revision));
    expect((await live()).map(({ name }) => name)).toContain('reader');
    await until('the lease of the frozen router is over', async () => (await live()).length === 0);
    await cluster.move(keyspace, keyspace.slotOf(key), 'a', 'b');
    await cluster.direct('catalog', (client) => releaseHold(client, id));
    await router.query(key, 'UPDATE users SET version = 2 WHERE id = $1', [key]);
    const acknowledged = process.hrtime.bigint();

    const before = reader.reads.length;
    reader.child.kill('SIGCONT');
    await until('the thawed router reads', () => reader.reads.length > before + 50);
    const later = reader.reads.filter(({ began }) => BigInt(began) > acknowledged);
    expect(later.length).toBeGreaterThan(10);
    expect(later.filter(({ version }) => version !== 2)).toEqual([]);
    // The old copy is still there: only the router's own care kept it from being read.
    const old = await cluster.direct('a', (client) =>
      client.query('SELECT version FROM users WHERE id = $1', [key]),
    );
    expect(old.rows).toEqual([{ version: 1 }]);
  } finally {
    await reader.stop();
  }
});

interface Read {
  readonly began: string;
  readonly ended: string;
  readonly version: number;
  readonly leased: boolean;
}

async function startReader(key: number): Promise<{
  child: ChildProcess;
  reads: Read[];
  stop: () => Promise<void>;
}> {
  const program = await bundle(new URL('reader-main.ts', import.meta.url));
  const request = {
    // It polls seldom: when it thaws it knows nothing but what it knew before.
    options: { ...cluster.options, name: 'reader', pollInterval: '1s', lease: '3s', listen: false },
    key,
  };
  const child = spawn(process.execPath, [program, JSON.stringify(request)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const reads: Read[] = [];
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) =>
    reads.push(JSON.parse(line)),
  );
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async () => {
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    await ended;
    await rm(program, { force: true });
  };
  return { child, reads, stop };
}
