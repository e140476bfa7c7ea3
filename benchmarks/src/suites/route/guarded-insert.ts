import { bootstrap, createRouter, type RouterOptions } from '@shardline/shard-router';
import { startPostgres } from '@shardline/testkit';
import pg from 'pg';
import { compare, concurrent } from '../../measure/compare.js';
import { stayAlive } from '../../measure/stay-alive.js';
import { isMet, type Scenario, type Target } from '../../scenario.js';

const CALLERS = 4;
const GUARDED = 'guarded';
const PLAIN = 'plain';
/** What a trigger that looks the slot up cost in a trial was 8 %. */
const TARGET: Target = { relation: 'at least', ratio: 0.85 };

/** What the guard that stands on every sharded table costs a write. */
export const guardedInsert: Scenario = {
  suite: 'route',
  name: 'guarded-insert',
  situation:
    'A service writes one small row per statement over four connections. On a sharded table the shard checks for each ' +
    'row that it owns the slot; the peer is the same table in the same database without the guard.',
  async run({ use, quick, signal }) {
    stayAlive(use);
    const server = await startPostgres({ name: 'guarded-insert' });
    use({
      async [Symbol.asyncDispose]() {
        await server.stop();
      },
    });
    const url = await server.createDatabase('shard');
    const options: RouterOptions = {
      catalog: { primary: await server.createDatabase('catalog') },
      shards: { a: { primary: url } },
      keyspaces: { users: { keyType: 'bigint', tables: { [GUARDED]: 'user_id' } } },
    };
    await bootstrap(options);
    const router = use(await createRouter(options));
    for (const table of [GUARDED, PLAIN]) {
      await router.everywhere(
        `CREATE TABLE ${table} (user_id bigint, id bigint, stake int, PRIMARY KEY (user_id, id))`,
        [],
        { id: table },
      );
    }
    const pool = new pg.Pool({ connectionString: url, max: CALLERS });
    pool.on('error', () => {}); // Servers are stopped after the pools; nobody waits for what idles.
    use({
      async [Symbol.asyncDispose]() {
        await pool.end();
      },
    });
    const inserts = (table: string) => {
      let id = 0;
      return () => {
        id += 1;
        const text = `INSERT INTO ${table} VALUES ($1, $2, 10)`;
        return pool.query({ name: table, text, values: [id % 5000, id] });
      };
    };
    const { figures, ratioOf } = await compare(
      [GUARDED, PLAIN].map((table) => concurrent(table, CALLERS, inserts(table))),
      { rounds: quick ? 15 : 61, turnMs: 200, signal },
    );
    // Times per operation; throughput is the other way round.
    const { ratio, ratioSpread } = ratioOf(PLAIN, GUARDED);
    return [
      {
        suite: 'route',
        name: `insert of one row into a guarded table, ${CALLERS} callers`,
        peer: 'the same table without the guard',
        unit: 'rows/s',
        ours: figures.get(GUARDED)?.operationsPerSecond ?? 0,
        theirs: figures.get(PLAIN)?.operationsPerSecond ?? 0,
        ratio,
        ratioSpread,
        target: TARGET,
        met: isMet(TARGET, ratio),
      },
    ];
  },
};
