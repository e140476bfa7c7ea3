import { chmod, mkdir, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isShardlineError, ShardlineError } from '@shardline/core';
import { testkitErrors } from '../errors.js';
import { acquireGuard, type Guard } from './guard.js';
import { isPortFree } from './port-probe.js';

/**
 * Loopback ports for servers.
 *
 * A port stays a server's own while the server is down, so a look for a free one is not enough: the
 * next run would take it. Each port is therefore held by a file with the holder's pid, in a folder
 * that all runs of the machine share; a file whose holder is gone is taken over. The range ends below
 * the one from which Linux and macOS give ports to outgoing connections, so no client of another
 * program takes a server's port while it restarts. Programs that know nothing of these files are
 * found by trying to listen.
 */

const FIRST_PORT = 15_000;
const LAST_PORT = 32_000;
const PORT_COUNT = LAST_PORT - FIRST_PORT;
/** A file without a pid in it is being written; its holder needs no longer than this. */
const WRITING_MS = 1_000;

const guards = new Map<number, Guard>();
let nextPort = FIRST_PORT + Math.floor(Math.random() * PORT_COUNT);

/** Where the files of held ports lie. */
export function portFolder(): string {
  return join(tmpdir(), 'shardline-ports');
}

/** Finds a free loopback port and holds it against other runs until releasePort(). */
export async function reservePort(): Promise<number> {
  for (let tries = 0; tries < PORT_COUNT; tries += 1) {
    const port = nextPort;
    nextPort = port + 1 >= LAST_PORT ? FIRST_PORT : port + 1;
    if (await tryReserve(port)) return port;
  }
  throw new ShardlineError(
    testkitErrors.TESTKIT_PORT_IN_USE,
    `No port from ${FIRST_PORT} to ${LAST_PORT} is free on 127.0.0.1.`,
  );
}

/** Holds one particular port. */
export async function reserveThisPort(port: number): Promise<void> {
  if (await tryReserve(port)) return;
  throw new ShardlineError(
    testkitErrors.TESTKIT_PORT_IN_USE,
    `Port ${port} on 127.0.0.1 is taken by another program or another run.`,
    { details: { port } },
  );
}

/** Gives a port back. Safe to call twice. */
export async function releasePort(port: number): Promise<void> {
  const guard = guards.get(port);
  if (guard === undefined) return;
  guards.delete(port);
  try {
    await guard.remove({ kind: 'path', path: fileOf(port) });
  } catch (error) {
    // A guard that was killed has left the file to its successor, or else its holder's pid is gone.
    if (!isShardlineError(error, 'TESTKIT_GUARD_LOST')) throw error;
  }
  await guard.release();
}

/**
 * Starts something that listens on a free port. If another program was faster in taking the port,
 * the next one is tried.
 *
 * @throws ShardlineError `TESTKIT_PORT_IN_USE` if that happens again and again.
 */
export async function startOnFreePort<T>(start: (port: number) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    const port = await reservePort();
    try {
      return await start(port);
    } catch (error) {
      await releasePort(port);
      if (tries === 5 || !isShardlineError(error, 'TESTKIT_PORT_IN_USE')) throw error;
    }
  }
}

function fileOf(port: number): string {
  return join(portFolder(), String(port));
}

async function tryReserve(port: number): Promise<boolean> {
  if (guards.has(port)) return false;
  const guard = acquireGuard();
  const leftover = { kind: 'path', path: fileOf(port) } as const;
  if (!(await writeHolder(port))) {
    await guard.release();
    return false;
  }
  guards.set(port, guard);
  // After the file here, not before it as elsewhere: until now it could be another run's.
  await guard.keep(leftover);
  if (await isPortFree(port)) return true;
  await releasePort(port);
  return false;
}

/** Makes the file of a port with our pid in it; false if a living process holds it. */
async function writeHolder(port: number): Promise<boolean> {
  for (let tries = 0; tries < 5; tries += 1) {
    try {
      const file = await open(fileOf(port), 'wx', 0o644);
      await file.write(String(process.pid)).finally(() => file.close());
      return true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') await makeFolder();
      else if (code !== 'EEXIST') throw error;
      else if (await isHeld(port)) return false;
      else if (!(await discard(port))) return false;
    }
  }
  return false;
}

async function makeFolder(): Promise<void> {
  try {
    await mkdir(portFolder());
    // Open to every user, as /tmp is, since their runs share the machine's ports.
    await chmod(portFolder(), 0o1777);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Another run made it, or its last port was just given back and the folder went with it.
    if (code !== 'EEXIST' && code !== 'ENOENT') throw error;
  }
}

async function isHeld(port: number): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < WRITING_MS; waitedMs += 50) {
    const text = await readFile(fileOf(port), 'utf8').catch(() => undefined);
    if (text === undefined) return false;
    if (text !== '') return isAlive(Number(text));
    await sleep(50);
  }
  return false;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * Removes the file of a dead holder; false if it belongs to another user and cannot be. Two runs may
 * do so at the same moment and both believe that they hold the port: whose server comes second then
 * finds it taken and goes to the next (startOnFreePort).
 */
async function discard(port: number): Promise<boolean> {
  return rm(fileOf(port), { force: true }).then(
    () => true,
    () => false,
  );
}
