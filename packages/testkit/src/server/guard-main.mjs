/**
 * The guard: a small process of its own that starts the servers, and ends them when its parent is gone.
 *
 * What always holds:
 * - Every server is a child of the guard, and every folder, port file and container is named to it
 *   before it is made. So whatever exists, the guard knows.
 * - The channel to the parent closes when the parent ends, however it ends: also by SIGKILL. That is
 *   the only sign the guard needs; there is no heartbeat and no pid to poll.
 * - It lives in a session of its own: Ctrl-C at the terminal reaches the parent only, which then
 *   stops its servers in order, or dies and leaves the rest to the guard.
 * - It ends by itself: a clean-up that does not come to an end is cut off after CLEANUP_LIMIT_MS.
 *
 * PostgreSQL makes every backend a session leader, so signals to a process group do not reach them:
 * freezing and killing walk the tree of children. The root is stopped first, so that no child is
 * born while the tree is being read.
 *
 * This file is JavaScript (checked by the type checker) and imports nothing but Node: tests that run
 * on the sources start it as it is, without a build and without a loader in the child.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { rm, rmdir } from 'node:fs/promises';
import { request } from 'node:http';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** @import { GuardMessage, GuardOrder, GuardRequest, Leftover, SpawnOrder } from './guard-protocol.js' */

/** Time for servers to follow their end signal before SIGKILL. */
const GRACE_MS = 3_000;
/** Longer than everything below together; then the guard ends, whatever is left. */
const CLEANUP_LIMIT_MS = 30_000;
const POLL_MS = 10;

/** @type {Map<number, { endSignal: NodeJS.Signals }>} Live servers by pid. */
const servers = new Map();
/** @type {Set<number>} Every server that ever ran here: shared memory is known by its maker's pid. */
const everRan = new Set();
/** @type {Map<string, Leftover>} */
const leftovers = new Map();
let isEnding = false;

const hasChildrenFiles = existsSync(`/proc/self/task/${process.pid}/children`);

process.on('message', (message) => {
  void answer(/** @type {GuardRequest} */ (message));
});
process.on('disconnect', () => void endAll());
for (const signal of /** @type {const} */ (['SIGTERM', 'SIGINT', 'SIGHUP'])) {
  process.on(signal, () => void endAll());
}

/** @param {GuardRequest} incoming */
async function answer(incoming) {
  try {
    const pid = await carryOut(incoming);
    tell({ type: 'reply', id: incoming.id, ...(pid === undefined ? {} : { pid }) });
  } catch (error) {
    const { message, code } = /** @type {NodeJS.ErrnoException} */ (error);
    const fault = code === undefined ? { message } : { message, code };
    tell({ type: 'reply', id: incoming.id, error: fault });
  }
}

/** @param {GuardMessage} message */
function tell(message) {
  // The channel may close at any moment; then nobody is left to be told.
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

/**
 * @param {GuardOrder} order
 * @returns {Promise<number | undefined>}
 */
async function carryOut(order) {
  switch (order.type) {
    case 'spawn':
      return start(order);
    case 'signal':
      process.kill(order.pid, order.signal);
      return undefined;
    case 'freeze':
      await stopTree(order.pid);
      return undefined;
    case 'thaw':
      continueTree(order.pid);
      return undefined;
    case 'kill':
      await killTree(order.pid);
      return undefined;
    case 'keep':
      leftovers.set(keyOf(order.leftover), order.leftover);
      return undefined;
    case 'forget':
      leftovers.delete(keyOf(order.leftover));
      return undefined;
    case 'remove':
      await remove(order.leftover);
      return undefined;
    case 'adopt':
      for (const pid of order.pids) {
        everRan.add(pid);
        servers.set(pid, { endSignal: 'SIGKILL' });
      }
      return undefined;
  }
}

/** @param {SpawnOrder} order @returns {Promise<number>} */
function start(order) {
  if (isEnding) throw new Error('the guard is ending');
  const log = openSync(order.logFile, 'a');
  try {
    const child = spawn(order.program, order.arguments, {
      cwd: order.folder,
      env: order.environment,
      stdio: ['ignore', log, log],
      detached: true,
      ...(order.uid === undefined ? {} : { uid: order.uid }),
      ...(order.gid === undefined ? {} : { gid: order.gid }),
    });
    const { pid } = child;
    if (pid !== undefined) {
      everRan.add(pid);
      servers.set(pid, { endSignal: order.endSignal });
      child.once('exit', (code, signal) => {
        servers.delete(pid);
        // What it had started and left behind, such as a fork that saves to disk, is of its group.
        signalIfAlive(-pid, 'SIGKILL');
        tell({ type: 'exit', pid, code, signal });
      });
    }
    return new Promise((resolve, reject) => {
      child.once('spawn', () => resolve(/** @type {number} */ (pid)));
      child.once('error', reject);
    });
  } finally {
    closeSync(log);
  }
}

/** @param {Leftover} leftover */
function keyOf(leftover) {
  return leftover.kind === 'path' ? leftover.path : `container ${leftover.id}`;
}

/** @param {Leftover} leftover */
async function remove(leftover) {
  if (leftover.kind === 'container') await removeContainer(leftover);
  else await removePath(leftover.path);
  leftovers.delete(keyOf(leftover));
  removeSharedMemory();
}

/** @param {string} path */
async function removePath(path) {
  // A process that was just killed may still be writing its last file: hence the retries.
  await rm(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  // The folder of the port files goes with its last file; it is not ours while others have some.
  if (dirname(path).endsWith('/shardline-ports')) await rmdir(dirname(path)).catch(() => {});
}

/** @param {Extract<Leftover, { kind: 'container' }>} container @returns {Promise<void>} */
function removeContainer({ id, engine }) {
  return new Promise((resolve, reject) => {
    const path = `/containers/${id}?force=true&v=true`;
    const call = request({ ...engine, path, method: 'DELETE', timeout: 10_000 }, (response) => {
      response.resume().once('end', resolve);
    });
    call.once('timeout', () => call.destroy(new Error('the Docker engine does not answer')));
    call.once('error', reject);
    call.end();
  });
}

/**
 * A killed PostgreSQL leaves a few bytes of System V shared memory, its lock against two servers on
 * one folder, which only a restart or this would remove. Elsewhere than on Linux it is left.
 */
function removeSharedMemory() {
  let table = '';
  try {
    table = readFileSync('/proc/sysvipc/shm', 'utf8');
  } catch {
    return; // No such table: not Linux.
  }
  for (const line of table.split('\n').slice(1)) {
    const [, id, , , makerPid, , attached] = line.trim().split(/\s+/);
    if (id === undefined || attached !== '0' || !everRan.has(Number(makerPid))) continue;
    spawnSync('ipcrm', ['-m', id], { stdio: 'ignore' });
  }
}

/** @param {number} pid @returns {number[]} */
function childrenOf(pid) {
  try {
    if (!hasChildrenFiles) return childrenByPs(pid);
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8')
        .trim()
        .split(' ')
        .filter(Boolean)
        .map(Number),
    );
  } catch {
    return []; // It has just ended.
  }
}

/** @param {number} pid @returns {number[]} */
function childrenByPs(pid) {
  const table = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' });
  return table
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter(([, parent]) => parent === pid)
    .map(([child]) => /** @type {number} */ (child));
}

/** @param {number} root @returns {number[]} The process and all under it, parents first. */
function treeOf(root) {
  const tree = [root];
  for (const pid of tree) tree.push(...childrenOf(pid).filter((child) => !tree.includes(child)));
  return tree;
}

/** @param {number} pid @param {NodeJS.Signals} signal */
function signalIfAlive(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ESRCH') throw error;
  }
}

/** @param {number} root @returns {Promise<number[]>} Everything that was stopped. */
async function stopTree(root) {
  process.kill(root, 'SIGSTOP');
  await until(() => isStopped(root) || isGone(root), 1_000);
  /** @type {number[]} */
  let stopped = [root];
  for (;;) {
    const tree = treeOf(root);
    const born = tree.filter((pid) => !stopped.includes(pid));
    if (born.length === 0) return stopped;
    for (const pid of born) signalIfAlive(pid, 'SIGSTOP');
    stopped = [...stopped, ...born];
  }
}

/** @param {number} root */
function continueTree(root) {
  for (const pid of treeOf(root).reverse()) signalIfAlive(pid, 'SIGCONT');
}

/** @param {number} root */
async function killTree(root) {
  if (isGone(root)) return;
  const tree = await stopTree(root);
  for (const pid of tree) signalIfAlive(pid, 'SIGKILL');
  await until(() => tree.every(isGone), 10_000);
}

/** @param {number} pid */
function stateOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '')[0];
  } catch {
    return undefined; // Not Linux, or gone.
  }
}

/** @param {number} pid */
function isStopped(pid) {
  return !hasChildrenFiles || stateOf(pid) === 'T';
}

/** @param {number} pid */
function isGone(pid) {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'ESRCH';
  }
  // A dead child of a dead parent waits for whoever is process 1 to take note of it; in some
  // containers nobody ever does. It runs no more, and that is what matters here.
  const state = stateOf(pid);
  return state === 'Z' || state === 'X';
}

/** @param {() => boolean} condition @param {number} limitMs */
async function until(condition, limitMs) {
  const deadline = process.hrtime.bigint() + BigInt(limitMs) * 1_000_000n;
  while (!condition()) {
    if (process.hrtime.bigint() > deadline) return false;
    await sleep(POLL_MS);
  }
  return true;
}

/** @param {number} root @param {NodeJS.Signals} endSignal */
async function endServer(root, endSignal) {
  if (endSignal === 'SIGKILL') return killTree(root);
  // Once the root is gone nothing tells any more who was under it.
  const tree = treeOf(root);
  signalIfAlive(root, endSignal);
  continueTree(root);
  await until(() => tree.every(isGone), GRACE_MS);
  await killTree(root);
  for (const pid of tree) signalIfAlive(pid, 'SIGKILL');
  await until(() => tree.every(isGone), GRACE_MS);
}

async function endAll() {
  if (isEnding) return;
  isEnding = true;
  setTimeout(() => process.exit(1), CLEANUP_LIMIT_MS).unref();
  await Promise.allSettled([...servers].map(([pid, { endSignal }]) => endServer(pid, endSignal)));
  // One that cannot be removed must not keep the others.
  await Promise.allSettled([...leftovers.values()].map(remove));
  removeSharedMemory();
  process.exit(0);
}
