import { AsyncLocalStorage } from 'node:async_hooks';
import type { Session } from './session.js';

/**
 * The session that runs in the current asynchronous context, for each pool its own.
 *
 * The storage lies under a registered symbol: the ESM and the CommonJS copy of this package, loaded side by
 * side, must see the same session.
 */
const STORAGE = Symbol.for('shardline.pool.sessions');

/** Whose statements belong to which session: a map by pool, or what finds one when it is needed. */
export interface Sessions {
  get(pool: object): Session | undefined;
}

type Shared = typeof globalThis & { [STORAGE]?: AsyncLocalStorage<Sessions> };

function storage(): AsyncLocalStorage<Sessions> {
  const shared = globalThis as Shared;
  shared[STORAGE] ??= new AsyncLocalStorage<Sessions>();
  return shared[STORAGE];
}

/** Runs work in which statements of a pool belong to a session. Sessions of other pools stay as they are. */
export function runInSession<T>(pool: object, session: Session, work: () => T): T {
  return runInSessions({ get: (asked) => (asked === pool ? session : undefined) }, work);
}

/** Runs work in sessions that are found by their pool, when a statement asks for them. */
export function runInSessions<T>(sessions: Sessions, work: () => T): T {
  const outer = storage().getStore();
  if (outer === undefined) return storage().run(sessions, work);
  return storage().run({ get: (pool) => sessions.get(pool) ?? outer.get(pool) }, work);
}

/** The session that statements of a pool belong to here, if any. */
export function currentSession(pool: object): Session | undefined {
  return storage().getStore()?.get(pool);
}
