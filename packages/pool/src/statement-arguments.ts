import type pg from 'pg';
import type { Statement } from './node/execute.js';
import type { QueryOptions } from './options.js';

/** A caller's callback, as `pg` knows it. */
export type QueryCallback = (error: Error | undefined, result?: pg.QueryResult) => void;

/** The arguments of `query(...)`, understood. */
export interface QueryCall extends QueryOptions {
  readonly statement: Statement;
  readonly callback: QueryCallback | undefined;
  /** A cursor, a stream, or any object that talks to the connection by itself. */
  readonly submittable: pg.Submittable | undefined;
}

/** Reads the many ways in which `pg` lets `query` be called. */
export function readQueryCall(query: unknown, values: unknown, callback: unknown): QueryCall {
  if (query === null || query === undefined) {
    throw new TypeError('Client was passed a null or undefined query');
  }
  const given = typeof values === 'function' ? values : callback;
  const list = Array.isArray(values) ? (values as unknown[]) : undefined;
  if (typeof query === 'string') {
    return {
      statement: { text: query, query, values: list },
      callback: given as QueryCallback | undefined,
      submittable: undefined,
      target: undefined,
      signal: undefined,
    };
  }
  const config = query as pg.QueryConfig & QueryOptions & { submit?: unknown; callback?: unknown };
  const isSubmittable = typeof config.submit === 'function';
  const { target, signal } = config;
  return {
    statement: { text: textOf(config), query: config, values: list ?? undefined },
    callback: (given ?? (isSubmittable ? undefined : config.callback)) as QueryCallback | undefined,
    submittable: isSubmittable ? (config as unknown as pg.Submittable) : undefined,
    target,
    signal,
  };
}

/** The SQL of a config, a cursor, a stream over a cursor, or a COPY stream. */
function textOf(config: object): string {
  const { text, cursor } = config as { text?: unknown; cursor?: { text?: unknown } };
  if (typeof text === 'string') return text;
  return typeof cursor?.text === 'string' ? cursor.text : '';
}

/** Answers by promise, or by the caller's callback if there is one. */
export function answer(
  running: Promise<pg.QueryResult>,
  callback: QueryCallback | undefined,
): Promise<pg.QueryResult> | undefined {
  if (callback === undefined) return running;
  running.then(
    (result) => callback(undefined, result),
    (error: Error) => callback(error),
  );
  return undefined;
}
