import driver from 'pg';
import { ReplicaPool } from '../replica-pool.js';

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

/** What a module `pg` is, with our pool. */
type PgModule = Omit<typeof driver, 'Pool'> & { readonly Pool: typeof Pool };

/** Everything that `pg` exports, with `Pool` replaced. */
const pg: PgModule = { ...driver, Pool };

export default pg;
export { Pool };
export const Client: typeof driver.Client = driver.Client;
export const Connection: typeof driver.Connection = driver.Connection;
export const DatabaseError: typeof driver.DatabaseError = driver.DatabaseError;
export const Query: typeof driver.Query = driver.Query;
export const Result: typeof driver.Result = driver.Result;
export const TypeOverrides: typeof driver.TypeOverrides = driver.TypeOverrides;
export const defaults: typeof driver.defaults = driver.defaults;
export const escapeIdentifier: typeof driver.escapeIdentifier = driver.escapeIdentifier;
export const escapeLiteral: typeof driver.escapeLiteral = driver.escapeLiteral;
export const types: typeof driver.types = driver.types;
