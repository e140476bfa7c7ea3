import type { Clock } from '@shardline/core';
import { clientTimeoutMs } from './executor.js';
import type { Connection } from './node/connection.js';
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

/**
 * Lets a client of the driver, as `connect()` lends it where there is one server, take `{ signal, target }` in a query
 * as the pool itself does, and keeps the time of each statement where the server cannot. It stays the driver's client:
 * anything else goes straight to it. Returns how to make it forget: the pool's own statements keep their time themselves.
 */
export function teachQueryOptions(connection: Connection, options: RawClientOptions): () => void {
  const { client } = connection;
  // A listener of `connect` may have given this one client a method of its own.
  const own = Object.hasOwn(client, 'query') ? client.query : undefined;
  // Else looked up at each call: instrumentation may replace the driver's method at any time.
  const plainQuery = (...given: unknown[]) =>
    (own ?? (Object.getPrototypeOf(client) as typeof client).query).call(client, ...given);
  const isTimed =
    options.node.settings.isBehindPgBouncer && options.settings.statementTimeoutMs > 0;
  const taught = (query: unknown, values?: unknown, callback?: unknown) => {
    const isOurs = carriesOptions(query) || (isTimed && isStatement(query));
    if (!isOurs) return plainQuery(query, values, callback);
    const call = readQueryCall(withoutOptions(query), values, callback);
    const { signal, target } = query as QueryOptions;
    const running = run(connection, call.statement, { signal, target }, options, plainQuery);
    return answer(running, call.callback);
  };
  client.query = taught;
  return () => {
    // Whoever has put a method of theirs over ours keeps it.
    if (client.query !== taught) return;
    if (own === undefined) Reflect.deleteProperty(client, 'query');
    else client.query = own;
  };
}

async function run(
  connection: Connection,
  statement: Parameters<typeof execute>[1],
  { signal, target }: QueryOptions,
  { node, router, settings, clock }: RawClientOptions,
  send: (...given: unknown[]) => unknown,
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
    send,
  });
}

/** A text or a config, and not a cursor or a stream, which talks to the connection by itself. */
function isStatement(query: unknown): query is string | object {
  if (typeof query === 'string') return true;
  return typeof query === 'object' && query !== null && !('submit' in query);
}

function carriesOptions(query: unknown): boolean {
  if (typeof query === 'string' || !isStatement(query)) return false;
  const { signal, target } = query as QueryOptions;
  return signal !== undefined || target !== undefined;
}

function withoutOptions(query: unknown): unknown {
  if (typeof query === 'string') return query;
  const { signal: _signal, target: _target, ...config } = query as QueryOptions;
  return config;
}
