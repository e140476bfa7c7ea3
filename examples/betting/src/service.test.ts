import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { startTopology, type Topology } from '@shardline/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bundle } from '../../../test/bundle.js';
import { initialiseBetting, openBettingLayer } from './layer.js';
import type { BettingServers } from './servers.js';

/** Two processes of the service as they run in production, over a replica that is late. */
let topology: Topology;
let program: string;
let servers: BettingServers;
const children = new Set<ChildProcess>();

beforeAll(async () => {
  topology = await startTopology({
    shards: [{ name: 'one', replicas: [{ name: 'late', applyDelay: '300ms' }] }],
    redis: 'standalone',
    memcached: 1,
  });
  const { primary, replicas } = topology.shard('one');
  servers = {
    catalog: primary.url,
    shards: { one: { primary: primary.url, replicas: replicas.map(({ url }) => url) } },
    redis: topology.redis.url,
    memcached: topology.memcached.map(({ address }) => address),
    sessionSecret: 's'.repeat(32),
  };
  await initialiseBetting(servers);
  await using layer = await openBettingLayer(servers);
  await layer.entities.users.insert({ user_id: 7n, name: 'Ada', tier: 'premium', balance: 1000n });
  program = await bundle(new URL('./service-main.ts', import.meta.url));
});

afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  if (program !== undefined) await rm(program, { force: true });
  await topology?.stop();
});

interface Running {
  readonly child: ChildProcess;
  readonly url: string;
  /** What it has complained of. */
  readonly complaints: () => string;
}

async function start(): Promise<Running> {
  const child = fork(program, {
    env: { ...process.env, BETTING_SERVERS: JSON.stringify(servers), PORT: '0' },
    execArgv: [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  children.add(child);
  let complaints = '';
  child.stderr?.on('data', (chunk) => {
    complaints += chunk;
  });
  const ended = once(child, 'exit').then(() => {
    throw new Error(`The service did not start: ${complaints}`);
  });
  ended.catch(() => {}); // It ends some time.
  const [{ port }] = (await Promise.race([once(child, 'message'), ended])) as [{ port: number }];
  return { child, url: `http://127.0.0.1:${port}`, complaints: () => complaints };
}

async function exitOf({ child }: Running): Promise<number | null> {
  if (child.exitCode === null) await once(child, 'exit');
  children.delete(child);
  return child.exitCode;
}

test('a client sees his bets in the other process by his cookie, probes are answered, and both ways to end are clean', async () => {
  const [one, two] = await Promise.all([start(), start()]);
  for (const path of ['/healthz', '/readyz']) {
    expect((await fetch(`${one.url}${path}`)).status).toBe(200);
  }
  for (let round = 1; round <= 5; round += 1) {
    const placed = await fetch(`${one.url}/users/7/bets`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ betId: randomUUID(), eventId: 1, stake: 5 }),
    });
    expect(placed.status).toBe(201);
    // The ledger is never cached, and the replica does not have the bet yet.
    const cookie = placed.headers.getSetCookie()[0]?.split(';')[0] ?? '';
    const ledger = await fetch(`${two.url}/users/7/transactions`, { headers: { cookie } });
    expect(await ledger.json()).toHaveLength(round);
  }
  one.child.kill('SIGTERM');
  two.child.disconnect(); // As when the parent is gone.
  expect(await Promise.all([exitOf(one), exitOf(two)])).toEqual([0, 0]);
  expect([one.complaints(), two.complaints()]).toEqual(['', '']);
});
