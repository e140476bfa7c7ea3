import { ReplicaPool, type ReplicaPoolOptions } from '@shardline/pool';
import { type PostgresServer, startPostgres, waitUntil } from '@shardline/testkit';
import pg from 'pg';
import { stayAlive } from '../../measure/stay-alive.js';
import type { ScenarioContext } from '../../scenario.js';

/** Rows of the table that is read; each read is of another one. */
export const ACCOUNTS = 10_000;

type Use = ScenarioContext['use'];

/** A primary with a table of accounts, and replicas that have all of it. */
export async function startAccounts(
  use: Use,
  replicaOptions: readonly Parameters<PostgresServer['addReplica']>[0][],
): Promise<{ primary: PostgresServer; replicas: PostgresServer[] }> {
  stayAlive(use);
  const primary = useServer(use, await startPostgres({ name: 'pool-bench' }));
  await primary.query('CREATE TABLE account (id int PRIMARY KEY, name text, balance int NOT NULL)');
  await primary.query(
    `INSERT INTO account SELECT id, 'account ' || id, id % 1000 FROM generate_series(1, $1::int) id`,
    [ACCOUNTS],
  );
  await primary.query('VACUUM ANALYZE account');
  const replicas: PostgresServer[] = [];
  for (const options of replicaOptions) {
    replicas.push(useServer(use, await primary.addReplica(options)));
  }
  for (const replica of replicas) await primary.waitForReplica(replica);
  return { primary, replicas };
}

function useServer(use: Use, server: PostgresServer): PostgresServer {
  use({
    async [Symbol.asyncDispose]() {
      await server.stop();
    },
  });
  return server;
}

/** A pool of ours that knows the role of each of its servers. */
export async function openOurs(use: Use, options: ReplicaPoolOptions): Promise<ReplicaPool> {
  const pool = use(new ReplicaPool(options));
  await pool.ready();
  await waitUntil(async () => pool.health().status === 'up', {
    what: 'the pool to know all of its servers',
    within: '20s',
  });
  return pool;
}

/** The peer. */
export function openTheirs(use: Use, options: pg.PoolConfig): pg.Pool {
  const pool = new pg.Pool(options);
  pool.on('error', () => {}); // Servers are stopped after the pools; nobody waits for what idles.
  use({
    async [Symbol.asyncDispose]() {
      await pool.end();
    },
  });
  return pool;
}

/** One prepared point read of the next account. */
export function pointReads(pool: pg.Pool): () => Promise<unknown> {
  let turn = 0;
  return () => {
    turn = (turn % ACCOUNTS) + 1;
    return pool.query({
      name: 'account-by-id',
      text: 'SELECT id, name, balance FROM account WHERE id = $1',
      values: [turn],
    });
  };
}

/** The same hundred rows from each pool, from the server that is meant, or the figures are worth nothing. */
export async function checkReads(pools: readonly pg.Pool[], port: number): Promise<void> {
  for (const pool of pools) {
    const read = pointReads(pool);
    for (let id = 1; id <= 100; id += 1) {
      const { rows } = (await read()) as pg.QueryResult;
      const [row] = rows;
      if (rows.length !== 1 || row.name !== `account ${id}` || row.balance !== id % 1000) {
        throw new Error(`account ${id} was read as ${JSON.stringify(rows)}`);
      }
    }
    const { rows } = await pool.query("SELECT current_setting('port')::int AS port");
    if (rows[0].port !== port) throw new Error(`a read went to port ${rows[0].port}, not ${port}`);
  }
}
