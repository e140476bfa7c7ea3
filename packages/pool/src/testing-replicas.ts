import { type PostgresServer, startPostgres } from '@shardline/testkit';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { ReplicaPool } from './index.js';
import type { ReplicaPoolOptions } from './options.js';

/** A primary, a prompt replica and one that shows every commit 200 ms late; they live as long as the tests of a file. */
export class TestReplicas {
  primary!: PostgresServer;
  prompt!: PostgresServer;
  late!: PostgresServer;
  readonly #pools: ReplicaPool[] = [];

  /** @param name of the primary. */
  constructor(name: string) {
    beforeAll(async () => {
      this.primary = await startPostgres({ name });
      this.prompt = await this.primary.addReplica();
      this.late = await this.primary.addReplica({ applyDelay: '200ms' });
      await this.primary.query('CREATE TABLE bet (id bigint PRIMARY KEY, stake int)');
      await this.primary.query(`CREATE FUNCTION touch(n int) RETURNS int LANGUAGE sql VOLATILE
        AS 'INSERT INTO bet VALUES (n, n) RETURNING stake'`);
      await this.primary.waitForReplica(this.prompt);
      await this.primary.waitForReplica(this.late);
    });
    afterEach(async () => {
      await Promise.all(this.#pools.splice(0).map((pool) => pool.close({ deadline: '1s' })));
    });
    afterAll(async () => {
      for (const server of [this.late, this.prompt, this.primary]) await server?.stop();
    });
  }

  /** A pool over all three that knows who is what; it is closed with its test. */
  async openPool(options: ReplicaPoolOptions = {}): Promise<ReplicaPool> {
    const pool = new ReplicaPool({
      primary: { connectionString: this.primary.url, name: 'primary' },
      replicas: [{ connectionString: this.prompt.url, name: 'prompt' }, this.lateNode],
      ...options,
    });
    this.#pools.push(pool);
    await pool.ready();
    await until(() => pool.health().nodes.every(({ role }) => role !== 'unknown'));
    return pool;
  }

  /** The late replica, as a pool is told of it. */
  get lateNode() {
    return { connectionString: this.late.url, name: 'late' };
  }
}

/** Waits for a condition. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('The condition was not met in time.');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
