import driver from 'pg';
import { ReplicaPool } from './replica-pool.js';

/**
 * The module `pg` with this package's pool in the place of its own, for libraries that take the
 * driver itself and make a pool of it: `@fastify/postgres` (`pg`), TypeORM (`driver`), graphile-worker.
 * Such libraries put options of their own beside those of the pool; these are let pass.
 *
 * @example
 * ```ts
 * import pg from '@shardline/pool/pg';
 *
 * const pool = new pg.Pool({ connectionString: 'postgres://app@db-1/betting' });
 * await pool.end();
 * ```
 */
class Pool extends ReplicaPool {
  constructor(options: ConstructorParameters<typeof ReplicaPool>[0] = {}) {
    super({ ignoreUnknownOptions: true, ...options });
  }
}

const {
  Client,
  Connection,
  DatabaseError,
  Query,
  Result,
  TypeOverrides,
  defaults,
  escapeIdentifier,
  escapeLiteral,
  types,
} = driver;

/** Everything that `pg` exports, with `Pool` replaced. */
const pg = {
  Client,
  Connection,
  DatabaseError,
  Pool,
  Query,
  Result,
  TypeOverrides,
  defaults,
  escapeIdentifier,
  escapeLiteral,
  types,
};

export default pg;
export {
  Client,
  Connection,
  DatabaseError,
  defaults,
  escapeIdentifier,
  escapeLiteral,
  Pool,
  Query,
  Result,
  TypeOverrides,
  types,
};
