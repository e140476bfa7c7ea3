import type { Clock } from '@shardline/core';
import { clientTimeoutMs } from './executor.js';
import { asPgClient, type Connection } from './node/connection.js';
import { execute } from './node/execute.js';
import type { Node } from './node/node.js';
import type { QueryOptions } from './options.js';
import type { Router } from './router.js';
import type { PoolSettings } from './settings.js';
import { answer, readQueryCall } from './statement-arguments.js';

/** What a statement on a raw client needs beside the connection. */
export interface RawClientOptions {
  readonly node: Node;
  readonly router: Router;
  readonly settings: PoolSettings;
  readonly clock: Clock;
}

const taught = new WeakSet<object>();

/**
 * Lets a client of the driver, as `connect()` lends it where there is one server, take `{ signal, target }` in a query
 * as the pool itself does. It stays the driver's client: only a query that carries one of the two goes another way.
 */
export function teachQueryOptions(connection: Connection, options: RawClientOptions): void {
  const { client } = connection;
  if (taught.has(client)) return;
  taught.add(client);
  // Looked up at each call: instrumentation may replace the driver's method at any time.
  const plainQuery = (...given: unknown[]) =>
    (Object.getPrototypeOf(client) as typeof client).query.call(client, ...given);
  asPgClient(client).query = ((query: unknown, values?: unknown, callback?: unknown) => {
    if (!carriesOptions(query)) return plainQuery(query, values, callback);
    const { signal, target, ...config } = query;
    const call = readQueryCall(config, values, callback);
    return answer(run(connection, call.statement, { signal, target }, options), call.callback);
  }) as never;
}

async function run(
  connection: Connection,
  statement: Parameters<typeof execute>[1],
  { signal, target }: QueryOptions,
  { node, router, settings, clock }: RawClientOptions,
): ReturnType<typeof execute> {
  const found = router.classify(statement.text);
  const nowMs = clock.monotonicMs();
  // There is one server; this refuses a target of any other name.
  router.tryRoute(
    {
      statement: found,
      session: undefined,
      target,
      signal,
      avoid: new Set(),
      deadlineMs: nowMs,
    },
    nowMs,
  );
  return await execute(connection, statement, {
    isRead: found.kind === 'read',
    isInTransaction: connection.isInTransaction,
    signal,
    timeoutMs: clientTimeoutMs(node, settings),
    config: node.settings.config,
    clock,
  });
}

function carriesOptions(query: unknown): query is QueryOptions & Record<string, unknown> {
  if (typeof query !== 'object' || query === null || 'submit' in query) return false;
  const { signal, target } = query as QueryOptions;
  return signal !== undefined || target !== undefined;
}
