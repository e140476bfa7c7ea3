import { AsyncLocalStorage } from 'node:async_hooks';
import type { OpenSession } from './open-session.js';

/**
 * The session of a data layer that runs in the current asynchronous context, for each layer its own. Under a
 * registered symbol, so that the ESM and the CommonJS copy of this package see the same.
 */
const STORAGE = Symbol.for('shardline.layer.sessions');

type Sessions = ReadonlyMap<object, OpenSession>;
type Shared = typeof globalThis & { [STORAGE]?: AsyncLocalStorage<Sessions> };

function storage(): AsyncLocalStorage<Sessions> {
  const shared = globalThis as Shared;
  shared[STORAGE] ??= new AsyncLocalStorage<Sessions>();
  return shared[STORAGE];
}

const sessions = storage();

/** Runs work that belongs to a session of a layer. */
export function runInLayerSession<T>(layer: object, session: OpenSession, work: () => T): T {
  return sessions.run(new Map(sessions.getStore()).set(layer, session), work);
}

/** The session that calls of a layer belong to here, if any. */
export function currentLayerSession(layer: object): OpenSession | undefined {
  return sessions.getStore()?.get(layer);
}
