import { isShardlineError } from '@shardline/core';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ownTemporaryFolder, useTemporaryFolder } from './server/fixtures/own-temporary-folder.js';
import { isPortFree } from './server/port-probe.js';
import { startTopology } from './start-topology.js';
import type { Topology } from './topology.js';
import { planShards } from './topology-options.js';

describe('a topology', () => {
  let servers: Topology;

  beforeAll(async () => {
    servers = await startTopology({
      shards: 2,
      replicasPerShard: 1,
      postgres: { database: 'betting' },
      redis: 'standalone',
      memcached: 2,
      pgbouncer: true,
    });
  });
  afterAll(() => servers?.stop());

  test('has every server that was asked for, each with a name and a URL of its own', () => {
    expect(Object.keys(servers.urls).sort()).toEqual([
      'memcached-0',
      'memcached-1',
      'pgbouncer',
      'redis',
      'shard-0',
      'shard-0-replica-1',
      'shard-1',
      'shard-1-replica-1',
    ]);
    expect(new Set(servers.servers.map(({ port }) => port)).size).toBe(8);
    expect(servers.servers.every(({ state }) => state === 'running')).toBe(true);
  });

  test('its replicas stream, its Redis and Memcached answer', async () => {
    const { primary, replicas } = servers.shard('shard-1');
    const [replica] = replicas;
    await primary.query('CREATE TABLE bet (id bigint)');
    await primary.waitForReplica(replica as NonNullable<typeof replica>);
    expect((await replica?.query('SELECT * FROM bet'))?.rows).toEqual([]);
    expect(await servers.redis.command('PING')).toBe('PONG');
    const stats = await Promise.all(servers.memcached.map((node) => node.stats()));
    expect(stats.map((one) => one.get('version'))).toEqual([
      expect.stringContaining('1.'),
      expect.stringContaining('1.'),
    ]);
  });

  test('its pooler leads to every shard and replica by name', async () => {
    for (const server of servers.shards.flatMap(({ primary, replicas }) => [
      primary,
      ...replicas,
    ])) {
      const client = new Client({ connectionString: servers.pgbouncer.urlOf(server.name) });
      await client.connect();
      const { rows } = await client.query(
        "SELECT current_setting('port')::int AS port, current_database() AS name",
      );
      await client.end();
      expect(rows).toEqual([{ port: server.port, name: 'betting' }]);
    }
  });

  test('tells the ends of all logs, and what it was started without', async () => {
    expect(await servers.logs(3)).toMatch(/--- shard-0\n.*[\s\S]*--- redis\n/);
    expect(() => servers.redisCluster).toThrow("redis: 'cluster'");
    expect(() => servers.shard(7)).toThrow("a shard '7'");
  });
});

describe('the end of a topology', () => {
  test('leaves nothing, whatever state its servers are in', async () => {
    await using temporary = await ownTemporaryFolder();
    using _used = useTemporaryFolder(temporary.path);
    const servers = await startTopology({ shards: 2, replicasPerShard: 1, redis: 'sentinel' });
    const ports = servers.servers.map(({ port }) => port);
    await servers.shard(0).primary.kill();
    await servers.shard(1).primary.freeze();
    await servers.stop();
    await servers.stop();
    expect(await temporary.list()).toEqual([]);
    expect(await Promise.all(ports.map(isPortFree))).not.toContain(false);
  });

  test('a start in which one server fails ends the others and tells why', async () => {
    await using temporary = await ownTemporaryFolder();
    using _used = useTemporaryFolder(temporary.path);
    const start = startTopology({
      shards: [
        { name: 'good', replicas: 1 },
        { name: 'bad', postgres: { settings: { wrong_one: 1 } } },
      ],
      redis: 'standalone',
      memcached: 1,
    });
    await expect(start).rejects.toSatisfy(
      (error) =>
        isShardlineError(error, 'TESTKIT_NOT_READY') &&
        error.message.includes('Server bad') &&
        error.message.includes('unrecognized configuration parameter "wrong_one"'),
    );
    expect(await temporary.list()).toEqual([]);
  });
});

describe('the options of a topology', () => {
  test('are checked before anything is started, all faults at once', async () => {
    const wrong = {
      shards: -1,
      replicas: 2,
      redis: 'clutser',
      postgres: { databse: 'x' },
    } as object;
    await expect(startTopology(wrong)).rejects.toSatisfy(
      (error) =>
        isShardlineError(error, 'CONFIG_INVALID') &&
        error.message.includes('shards: must be a number of shards') &&
        error.message.includes('replicas: is no option') &&
        error.message.includes("did you mean 'database'") &&
        error.message.includes('redis'),
    );
  });

  test('a shard has the settings of the topology, then its own', () => {
    const plans = planShards({
      postgres: { database: 'app', settings: { work_mem: '8MB', jit: false } },
      replicasPerShard: 2,
      shards: [
        {},
        { name: 'hot', replicas: [{ applyDelay: '1s' }], postgres: { settings: { jit: true } } },
      ],
    });
    expect(plans).toEqual([
      {
        name: 'shard-0',
        postgres: { database: 'app', settings: { work_mem: '8MB', jit: false } },
        replicas: [{}, {}],
      },
      {
        name: 'hot',
        postgres: { database: 'app', settings: { work_mem: '8MB', jit: true } },
        replicas: [{ applyDelay: '1s' }],
      },
    ]);
  });
});
