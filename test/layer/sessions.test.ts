import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTopology, type Topology } from '@shardline/testkit';
import {
  checkDeadlines,
  checkSessions,
  checkWriteOrder,
  type HistoryRecorder,
  openRecorder,
  type RecordedCaller,
  readHistory,
} from '@shardline/testkit/check';
import { createDataLayer, initialiseShards } from 'shardline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { randomOf } from '../random.js';
import { configOf, readingsSchema, serversOf } from './readings.js';
import { bigints, type ServiceProcess, type Services, startServices } from './service-process.js';

/**
 * P4 over the whole layer, attacked: sessions hop by token between processes of a service, each with caches
 * of its own over shared Redis and Memcached, over replicas that lag by 0 to 500 ms. They write rows by
 * themselves and in transactions, and read them through the cache and around it, while processes are killed, a
 * replica and Redis freeze. What was seen is judged afterwards: no read of a session misses its own write or goes
 * back.
 *
 * SHARDLINE_TORTURE=1 runs it much longer; SHARDLINE_SEED replays a run's choices.
 */
const isLong = process.env['SHARDLINE_TORTURE'] === '1';
const seed = Number(process.env['SHARDLINE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const phaseOperations = isLong ? 8000 : 600;
const KEYS = 10;
const CALLERS = 10;

describe(`sessions over processes, caches and delayed replicas (seed ${seed})`, () => {
  const random = randomOf(seed);
  const counts = { writes: 0, reads: 0, hops: 0, failures: 0, errors: new Map<string, number>() };
  let folder: string;
  let services: Services | undefined;
  let processes: readonly ServiceProcess[];
  let topology: Topology;
  let isStopped = false;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'shardline-layer-sessions-'));
    topology = await startTopology({
      shards: [
        { replicas: [{}, { applyDelay: '500ms' }] },
        { replicas: [{ applyDelay: '200ms' }] },
      ],
      redis: 'standalone',
      memcached: 1,
    });
    const servers = serversOf(topology);
    await initialiseShards(configOf(servers));
    await using layer = await createDataLayer(configOf(servers));
    await layer.router.everywhere(readingsSchema);
    await layer.entities.readings.insertMany(
      Array.from({ length: KEYS }, (_, key) => ({ key: BigInt(key) })),
    );
    services = await startServices(servers, 3);
    ({ processes } = services);
  });

  afterAll(async () => {
    isStopped = true;
    await services?.stop();
    await topology?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  function pick<T>(items: readonly T[]): T {
    return items[Math.floor(random() * items.length)] as T;
  }

  /** One client: its token goes with each request, to whichever process the balancer picks. */
  async function client(caller: RecordedCaller, recorder: HistoryRecorder, at: number) {
    let token: string | undefined;
    let state: string | undefined;
    for (let step = 0; !isStopped; step += 1) {
      if (random() < 0.1) [token, state] = [undefined, undefined];
      if (random() < 0.3) await new Promise((resolve) => setTimeout(resolve, random() * 20));
      const isWrite = random() < 0.25;
      const what = pick(
        isWrite ? (['update', 'transaction'] as const) : (['get', 'get', 'get', 'query'] as const),
      );
      const key = Math.floor(random() * KEYS);
      const value = recorder.uniqueValue();
      const tokenOut = `client-${at}-${step}`;
      const result = await caller.run(
        {
          kind: isWrite ? 'update' : 'session-read',
          key: String(key),
          ...(isWrite ? { value } : {}),
          ...(state === undefined ? {} : { tokenIn: state }),
          deadlineNs: process.hrtime.bigint() + 40_000_000_000n,
        },
        async () => {
          const answer = await pick(processes).ask({ what, key, value, token });
          token = answer.token;
          return { version: Number(answer.version), tokenOut, detail: { what } };
        },
      );
      if (result.outcome === 'ok') {
        state = tokenOut;
        counts.hops += 1;
        if (isWrite) counts.writes += 1;
        else counts.reads += 1;
        continue;
      }
      // After an error nobody claims anything: a new client begins.
      [token, state] = [undefined, undefined];
      counts.failures += 1;
      const code = String((result.error as { code?: unknown }).code ?? result.error);
      counts.errors.set(code, (counts.errors.get(code) ?? 0) + 1);
      if (code === 'ECONNREFUSED') await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async function afterMore(operations: number): Promise<void> {
    const target = counts.reads + counts.writes + operations;
    await expect
      .poll(() => counts.reads + counts.writes, {
        timeout: isLong ? 900_000 : 120_000,
        interval: 50,
      })
      .toBeGreaterThan(target);
  }

  async function hurt(): Promise<void> {
    const [replica] = topology.shard(0).replicas;
    await afterMore(phaseOperations);
    await replica?.freeze();
    await afterMore(phaseOperations / 3);
    await replica?.thaw();
    await afterMore(phaseOperations);
    const victim = pick(processes);
    await victim.kill();
    await afterMore(phaseOperations / 3);
    await victim.start();
    await afterMore(phaseOperations);
    await topology.redis.freeze();
    await afterMore(phaseOperations / 6);
    await topology.redis.thaw();
    await afterMore(phaseOperations);
    await topology.redis.kill();
    await afterMore(phaseOperations / 6);
    await topology.redis.restart();
    await afterMore(phaseOperations);
  }

  test('no read of a session misses its own write or goes back', {
    timeout: isLong ? 3_600_000 : 300_000,
  }, async () => {
    const path = join(folder, 'sessions.jsonl');
    const recorder = openRecorder({ path, process: 'clients' });
    const clients = Array.from({ length: CALLERS }, (_, at) =>
      client(recorder.caller(), recorder, at),
    );
    try {
      await hurt();
    } finally {
      isStopped = true;
      await Promise.all(clients);
      recorder.close();
    }
    const history = readHistory([path]);
    const told = { ...counts, errors: [...counts.errors] };
    for (const verdict of [
      checkSessions(history),
      checkWriteOrder(history, { initialVersion: () => 1 }),
      checkDeadlines(history),
    ]) {
      expect(verdict, JSON.stringify({ seed, told, verdict }, bigints)).toMatchObject({
        valid: true,
      });
    }
    // A run in which nothing happened proves nothing.
    expect(counts.writes, JSON.stringify(told)).toBeGreaterThan(phaseOperations / 2);
    expect(counts.reads, JSON.stringify(told)).toBeGreaterThan(phaseOperations);
  });
});
