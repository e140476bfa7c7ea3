import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { isShardlineError } from '@shardline/core';
import { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import { startPostgres } from '../postgres/start-postgres.js';
import { startOtherRun } from './fixtures/other-run.js';
import { ownTemporaryFolder, useTemporaryFolder } from './fixtures/own-temporary-folder.js';
import { descendantsOf, stillRunning } from './fixtures/process-table.js';
import {
  portFolder,
  releasePort,
  reservePort,
  reserveThisPort,
  startOnFreePort,
} from './free-port.js';
import { acquireGuard } from './guard.js';
import { nativeBackend } from './native-backend.js';
import type { ServerSpec } from './server.js';
import { waitUntil } from './wait-until.js';

/** What processes, ports and folders of this machine show. In containers there are none of them. */

/** A server of a few lines, so that the guard is tested without a database's own ways. */
function listener(port: number, more: Partial<ServerSpec> = {}): ServerSpec {
  const program = `
    require('node:child_process').spawn('sleep', ['600']);
    require('node:net').createServer((socket) => socket.on('error', () => {}).end('hello'))
      .listen(${port}, '127.0.0.1', () => console.log('listening'));`;
  return {
    kind: 'postgres',
    name: 'listener',
    port,
    command: () => [process.execPath, '-e', program],
    isReady: (endpoint) =>
      new Promise((resolve, reject) => {
        const socket = connect(endpoint.port, endpoint.host, () => {
          socket.destroy();
          resolve(true);
        });
        socket.once('error', reject);
      }),
    ...more,
  };
}

describe('the guard', () => {
  test('ends everything when its parent is killed, processes of processes and frozen ones too', async () => {
    await using temporary = await ownTemporaryFolder();
    const run = await startOtherRun({ name: 'orphan', replica: true }, temporary);
    const [primary, replica] = run.servers;
    const client = new Client({ connectionString: primary?.url });
    client.on('error', () => {}); // Its server is about to be killed.
    await client.connect();
    process.kill(replica?.pid as number, 'SIGSTOP');
    const pids = descendantsOf(run.process.pid as number).map(({ pid }) => pid);
    expect(pids).toContain(primary?.pid);
    expect(pids).toContain(replica?.pid);
    expect(pids.length).toBeGreaterThan(8);
    await run.kill();
    await waitUntil(() => stillRunning(pids).length === 0, { what: 'every process to end' });
    expect(await sharedMemoryOf(pids)).toEqual([]);
    await waitUntil(async () => (await temporary.list()).length === 0, {
      what: 'the temporary files to be removed',
    });
    await client.end();
  });

  test('that is itself killed has a successor that ends what it had started', async () => {
    await using temporary = await ownTemporaryFolder();
    using _used = useTemporaryFolder(temporary);
    const server = await startOnFreePort((port) => nativeBackend.start(listener(port)));
    const find = (text: string) =>
      descendantsOf(process.pid).find(({ command }) => command.startsWith(text));
    const child = await waitUntil(() => find('sleep 600'), { what: 'the child of the server' });
    const guard = descendantsOf(process.pid).find(({ command }) => command.includes('guard-main'));
    const pids = [child.pid, server.pid as number];
    process.kill(guard?.pid as number, 'SIGKILL');
    await waitUntil(() => stillRunning(pids).length === 0, { what: 'every process to end' });
    await waitUntil(async () => (await temporary.list()).length === 0, {
      what: 'the temporary files to be removed',
    });
    expect(server.state).toBe('down');
    await server.stop();
    // A new one takes over for whoever comes next.
    await using next = await startOnFreePort((port) => nativeBackend.start(listener(port)));
    expect(next.state).toBe('running');
  });

  test('keeps its parent alive while that waits for the end of a server, and no longer', async () => {
    await using temporary = await ownTemporaryFolder();
    const guard = acquireGuard();
    const started = await guard.spawn({
      program: '/bin/sleep',
      arguments: ['600'],
      environment: {},
      folder: temporary.path,
      logFile: join(temporary.path, 'log'),
      endSignal: 'SIGKILL',
    });
    const pipes = () =>
      process.getActiveResourcesInfo().filter((resource) => resource === 'PipeWrap').length;
    const idle = pipes();
    const ending = guard.exitOf(started);
    expect(pipes()).toBe(idle + 1);
    await guard.tree('kill', started.pid);
    expect(await ending).toEqual({ code: null, signal: 'SIGKILL' });
    expect(pipes()).toBe(idle);
    await guard.release();
  });

  test('is gone when the last server is', async () => {
    const server = await startOnFreePort((port) => nativeBackend.start(listener(port)));
    const guards = () =>
      descendantsOf(process.pid).filter(({ command }) => command.includes('guard-main'));
    expect(guards()).toHaveLength(1);
    await server.stop();
    expect(guards()).toEqual([]);
  });

  test('leaves no shared memory of a PostgreSQL that was killed', async () => {
    const postgres = await startPostgres();
    const { pid } = postgres;
    expect(await sharedMemoryOf([pid as number])).not.toEqual([]);
    await postgres.kill();
    await postgres.stop();
    expect(await sharedMemoryOf([pid as number])).toEqual([]);
  });
});

/** System V segments made by these processes. */
async function sharedMemoryOf(pids: readonly number[]): Promise<string[]> {
  const table = await readFile('/proc/sysvipc/shm', 'utf8');
  return table
    .split('\n')
    .slice(1)
    .filter((line) => pids.includes(Number(line.trim().split(/\s+/)[4])));
}

describe('a process', () => {
  test('is frozen and thawed with everything under it', async () => {
    await using server = await startOnFreePort((port) => nativeBackend.start(listener(port)));
    const states = () =>
      [...stillRunning([server.pid as number]), ...descendantsOf(server.pid as number)].map(
        ({ state }) => state[0],
      );
    await waitUntil(() => states().length === 2, { what: 'the child of the server' });
    await server.freeze();
    expect(states()).toEqual(['T', 'T']);
    await server.thaw();
    expect(states()).not.toContain('T');
    expect(states()).toHaveLength(2);
  });

  test('that ends by itself is down at once with all that it started, and can be restarted', async () => {
    await using server = await startOnFreePort((port) => nativeBackend.start(listener(port)));
    const child = await waitUntil(() => descendantsOf(server.pid as number)[0], {
      what: 'the child of the server',
    });
    process.kill(server.pid as number, 'SIGKILL');
    await waitUntil(() => server.state === 'down', { what: 'the end to be noticed' });
    expect(server.pid).toBeUndefined();
    await waitUntil(() => stillRunning([child.pid]).length === 0, { what: 'its child to end' });
    await server.restart();
    expect(server.state).toBe('running');
  });

  test('that does not obey its end signal is killed', async () => {
    const deaf = `process.on('SIGQUIT', () => console.log('no'));
      require('node:net').createServer((socket) => socket.on('error', () => {}).end()).listen(PORT, '127.0.0.1');`;
    const server = await startOnFreePort((port) =>
      nativeBackend.start(
        listener(port, {
          command: () => [process.execPath, '-e', deaf.replace('PORT', String(port))],
          endSignal: 'SIGQUIT',
        }),
      ),
    );
    const pid = server.pid as number;
    await server.stop();
    expect(stillRunning([pid])).toEqual([]);
    expect(await server.logs()).toBe('no\n');
  });

  test('that never serves is ended, with its last words in the error', async () => {
    const mute = `console.error('still loading'); setInterval(() => {}, 1000)`;
    const start = startOnFreePort((port) =>
      nativeBackend.start(
        listener(port, { command: () => [process.execPath, '-e', mute], readyWithin: '500ms' }),
      ),
    );
    await expect(start).rejects.toSatisfy(
      (error) =>
        isShardlineError(error, 'TESTKIT_NOT_READY') &&
        error.message.includes('did not serve within 500ms') &&
        error.message.includes('| still loading'),
    );
    expect(descendantsOf(process.pid).filter(({ command }) => command.includes(mute))).toEqual([]);
  });

  test('whose program does not exist fails with its name', async () => {
    const start = startOnFreePort((port) =>
      nativeBackend.start(listener(port, { command: () => ['/nowhere/at-all'] })),
    );
    await expect(start).rejects.toThrow('/nowhere/at-all');
  });
});

describe('ports', () => {
  test('one that another program took meanwhile leads to the next', async () => {
    const foreign = createServer();
    const tried: number[] = [];
    await using server = await startOnFreePort(async (port) => {
      tried.push(port);
      if (tried.length === 1) await once(foreign.listen(port, '127.0.0.1'), 'listening');
      return nativeBackend.start(listener(port));
    });
    expect(tried).toHaveLength(2);
    expect(server.port).toBe(tried[1]);
    foreign.close();
  });

  test('one that is asked for and taken is refused with its number', async () => {
    const foreign = createServer();
    await once(foreign.listen(0, '127.0.0.1'), 'listening');
    const { port } = foreign.address() as { port: number };
    await expect(reserveThisPort(port)).rejects.toSatisfy(
      (error) =>
        isShardlineError(error, 'TESTKIT_PORT_IN_USE') && error.message.includes(String(port)),
    );
    foreign.close();
  });

  test('a port is held while its server is down, and the file of a dead run is taken over', async () => {
    await using temporary = await ownTemporaryFolder();
    using _used = useTemporaryFolder(temporary);
    const port = await reservePort();
    await expect(reserveThisPort(port)).rejects.toThrow('taken');
    await releasePort(port);
    await mkdir(portFolder());
    const goneRun = 2 ** 22 + 1; // Above the largest pid that Linux gives.
    await writeFile(join(portFolder(), String(port)), String(goneRun));
    await reserveThisPort(port);
    expect(await readFile(join(portFolder(), String(port)), 'utf8')).toBe(String(process.pid));
    await releasePort(port);
    expect(await temporary.list()).toEqual([]);
  });
});
