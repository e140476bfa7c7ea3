import { AsyncLocalStorage } from 'node:async_hooks';
import type { InvalidationTask } from './invalidator.js';

/**
 * Invalidations that wait for a commit.
 *
 * Before the commit every reader still loads the old value, so an invalidation made then is undone by the
 * next reader, with a valid lease. Within `cache.afterCommit(fn)` they are kept and run once `fn` has
 * returned; if it throws they are dropped, as its changes were. For the same reason nothing that is loaded
 * in there fills a cache: a transaction may read an old snapshot.
 *
 * A process that dies between commit and invalidation leaves the old value until its ttl; who cannot have
 * that writes the invalidation into the transaction itself (see `outbox.ts`).
 *
 * One store for both module formats: a service may load this package as ESM and as CommonJS.
 */
const STORE = Symbol.for('shardline.cache.afterCommit');

export interface CommitScope {
  readonly tasks: { readonly owner: object; readonly task: InvalidationTask }[];
  /** What else is to be done once the invalidations have been: warming. */
  readonly afterwards: (() => void)[];
}

type Holder = { [STORE]?: AsyncLocalStorage<CommitScope> };

function store(): AsyncLocalStorage<CommitScope> {
  const holder = globalThis as Holder;
  holder[STORE] ??= new AsyncLocalStorage<CommitScope>();
  return holder[STORE];
}

/** The scope that the caller runs in, if it does. */
export function commitScope(): CommitScope | undefined {
  return store().getStore();
}

/** Runs work in a scope of its own and returns what it left to be done. */
export async function collectUntilCommit<T>(
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly scope: CommitScope }> {
  const scope: CommitScope = { tasks: [], afterwards: [] };
  const result = await store().run(scope, work);
  return { result, scope };
}
