import { createConnection } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isPortFree } from '../server/port-probe.js';
import { type MemcachedServer, startMemcached, startMemcachedNodes } from './memcached-server.js';

/** One exchange of the text protocol, read until its last line is there. */
function exchange(server: MemcachedServer, request: string, last: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: server.host, port: server.port });
    let answer = '';
    socket.on('data', (data) => {
      answer += data.toString('latin1');
      if (!last.test(answer)) return;
      socket.destroy();
      resolve(answer);
    });
    socket.on('error', reject);
    socket.write(request);
  });
}

describe('a Memcached', () => {
  let memcached: MemcachedServer;

  beforeAll(async () => {
    memcached = await startMemcached({ memoryMegabytes: 16, maxItemBytes: 2 * 1024 * 1024 });
  });
  afterAll(async () => memcached?.stop());

  it('keeps what it is given', async () => {
    expect(memcached.address).toBe(`127.0.0.1:${memcached.port}`);
    expect(await exchange(memcached, 'set a 0 0 1\r\nx\r\n', /\r\n$/)).toBe('STORED\r\n');
    expect(await exchange(memcached, 'get a\r\n', /END\r\n$/)).toContain('\r\nx\r\n');
  });

  it('is set up as asked, and listens on the loopback only', async () => {
    const stats = await memcached.stats();
    expect(stats.get('limit_maxbytes')).toBe(String(16 * 1024 * 1024));
    const settings = await exchange(memcached, 'stats settings\r\n', /END\r\n$/);
    expect(settings).toContain('STAT item_size_max 2097152');
    expect(settings).toContain('STAT inter 127.0.0.1');
    expect(settings).toContain('STAT udpport 0');
  });

  it('takes an item that is larger than its default limit', async () => {
    const size = 1_500_000;
    const answer = await exchange(
      memcached,
      `set big 0 0 ${size}\r\n${'x'.repeat(size)}\r\n`,
      /\r\n$/,
    );
    expect(answer).toBe('STORED\r\n');
  });

  it('forgets on flush() and on a restart', async () => {
    await exchange(memcached, 'set b 0 0 1\r\nx\r\n', /\r\n$/);
    await memcached.flush();
    expect(await exchange(memcached, 'get b\r\n', /END\r\n$/)).toBe('END\r\n');
    await exchange(memcached, 'set b 0 0 1\r\nx\r\n', /\r\n$/);
    await memcached.kill();
    expect(memcached.state).toBe('down');
    await memcached.restart();
    expect(await exchange(memcached, 'get b\r\n', /END\r\n$/)).toBe('END\r\n');
  });

  it('does not answer while it is frozen, and does after thaw()', async () => {
    await memcached.freeze();
    let hasAnswered = false;
    const answer = memcached.stats().then((stats) => {
      hasAnswered = true;
      return stats;
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(hasAnswered).toBe(false);
    await memcached.thaw();
    expect((await answer).get('version')).toMatch(/^1\./);
  });
});

it('several start side by side, each apart from the others', async () => {
  const ring = await startMemcachedNodes(3, { name: 'ring' });
  const ports = ring.nodes.map(({ port }) => port);
  try {
    expect(ring.nodes.map(({ name }) => name)).toEqual(['ring-0', 'ring-1', 'ring-2']);
    expect(ring.addresses).toEqual(ports.map((port) => `127.0.0.1:${port}`));
    const [first, second] = ring.nodes as [MemcachedServer, MemcachedServer];
    await exchange(first, 'set a 0 0 1\r\nx\r\n', /\r\n$/);
    expect(await exchange(second, 'get a\r\n', /END\r\n$/)).toBe('END\r\n');
    await first.kill();
    expect((await second.stats()).get('curr_items')).toBe('0');
  } finally {
    await ring.stop();
  }
  expect(await Promise.all(ports.map(isPortFree))).toEqual([true, true, true]);
});

it('refuses options that make no sense, naming all', async () => {
  const failure = await startMemcached({ memoryMegabytes: 1, maxItemBytes: 0.5 }).catch((e) => e);
  expect(failure.message).toMatch(/memoryMegabytes/);
  expect(failure.message).toMatch(/maxItemBytes/);
  await expect(startMemcachedNodes(0)).rejects.toThrow(/count/);
});

it('says why it could not start', async () => {
  await expect(startMemcached({ arguments: ['--no-such-option'] })).rejects.toThrow(
    /no-such-option/,
  );
});
