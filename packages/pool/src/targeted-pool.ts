import type pg from 'pg';
import { answer, type QueryCall, readQueryCall } from './statement-arguments.js';

/** What a targeted view asks of its pool. */
interface Sources {
  readonly run: (call: QueryCall) => Promise<pg.QueryResult>;
  readonly lend: () => Promise<pg.PoolClient>;
}

/** A view of a pool whose statements all have one target. It owns nothing and need not be ended. */
export class TargetedPool {
  readonly #sources: Sources;

  /** @internal Use `pool.primary` or `pool.reader`. */
  constructor(sources: Sources) {
    this.#sources = sources;
  }

  /** Runs one statement, by promise or callback as `pg` does. */
  query: pg.Pool['query'] = ((query: unknown, values?: unknown, callback?: unknown) => {
    const call = readQueryCall(query, values, callback);
    return answer(this.#sources.run(call), call.callback);
  }) as pg.Pool['query'];

  /** Lends a client whose statements all have this target. */
  connect(): Promise<pg.PoolClient> {
    return this.#sources.lend();
  }
}
