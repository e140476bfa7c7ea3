import { bootstrap, createRouter, type RouterOptions } from '@shardline/shard-router';
import { startPostgres } from '@shardline/testkit';
import { stayAlive } from '../../measure/stay-alive.js';
import type { Scenario, ScenarioContext } from '../../scenario.js';
import { ratePerSecond } from './rate.js';

const SHARDS = [1, 4, 16, 64] as const;
const USERS = 6400;

/** How one key, many keys and all keys grow dearer with shards. */
export const shardScaling: Scenario = {
  suite: 'scaling',
  name: 'shards',
  situation:
    'The same users on one shard and on sixty-four: reads of one user, of a hundred users at once, and of the ten best of ' +
    'all. Shards are databases of one server here, so the curves show what the router and the statements cost.',
  async run(context) {
    const lines = {
      'one user': [] as [number, number][],
      'a hundred users': [] as [number, number][],
      'the ten best of all': [] as [number, number][],
    };
    stayAlive(context.use);
    const server = await startPostgres({ name: 'shards', settings: { max_connections: 400 } });
    context.use({
      async [Symbol.asyncDispose]() {
        await server.stop();
      },
    });
    for (const count of SHARDS) {
      context.note(`${count} shards`);
      const databases: string[] = [];
      for (let shard = 0; shard < count; shard += 1) {
        databases.push(await server.createDatabase(`scaling_${count}_${shard}`));
      }
      const catalog = await server.createDatabase(`catalog_${count}`);
      const rates = await measure(context, catalog, databases);
      for (const [name, rate] of Object.entries(rates)) {
        lines[name as keyof typeof lines].push([count, rate]);
      }
    }
    for (const [name, points] of Object.entries(lines)) {
      context.draw({
        suite: 'scaling',
        name: `reads of ${name} by shards`,
        x: 'shards on one server',
        y: 'reads/s',
        isLogarithmic: true,
        lines: [{ name, points }],
      });
    }
    return [];
  },
};

async function measure(
  { quick, signal }: ScenarioContext,
  catalog: string,
  databases: readonly string[],
) {
  const options: RouterOptions = {
    catalog: { primary: catalog },
    shards: Object.fromEntries(databases.map((url, at) => [`s${at}`, { primary: url, max: 4 }])),
    keyspaces: { users: { keyType: 'bigint', tables: { players: 'user_id' } } },
  };
  await bootstrap(options);
  await using router = await createRouter(options);
  await router.everywhere(
    'CREATE TABLE players (user_id bigint PRIMARY KEY, score int NOT NULL)',
    [],
    { id: 'players' },
  );
  const rows = Array.from({ length: USERS }, (_, id) => ({
    user_id: id,
    score: (id * 7919) % 997,
  }));
  await router.copyFrom('players', rows, { columns: ['user_id', 'score'] });
  let turn = 0;
  const next = () => (turn = (turn + 61) % USERS);
  const spanMs = quick ? 300 : 1500;
  const one = async () => {
    const id = next();
    const { rows: found } = await router.query(id, 'SELECT score FROM players WHERE user_id = $1', [
      id,
    ]);
    if (found.length !== 1) throw new Error(`user ${id} was not found`);
  };
  const many = async () => {
    const ids = Array.from({ length: 100 }, next);
    const found = await router
      .scatter('SELECT score FROM players WHERE user_id = ANY($1)', [ids])
      .all();
    if (found.length !== 100) throw new Error(`${found.length} of 100 users were found`);
  };
  const best = () =>
    router
      .scatter('SELECT user_id, score FROM players', [], {
        orderBy: [{ column: 'score', direction: 'desc' }, 'user_id'],
        limit: 10,
      })
      .all();
  return {
    'one user': await ratePerSecond(one, { callers: 32, spanMs, signal }),
    'a hundred users': await ratePerSecond(many, { callers: 4, spanMs, signal }),
    'the ten best of all': await ratePerSecond(best, { callers: 4, spanMs, signal }),
  };
}
