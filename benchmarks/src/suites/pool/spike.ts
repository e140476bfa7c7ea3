import { setTimeout as sleep } from 'node:timers/promises';
import { ReplicaPool } from '@shardline/pool';
import { type FaultProxy, startFaultProxy, startPostgres } from '@shardline/testkit';
import pg from 'pg';
import { type Pair, rowOfPairs } from '../../measure/pairs.js';
import { stayAlive } from '../../measure/stay-alive.js';
import type { Row, Scenario } from '../../scenario.js';

const IDLE = 5;
const SPIKE = 50;
/** The statement returns what it was given, so that a crossed answer would show. */
const QUERY = 'SELECT $1::int AS n FROM pg_sleep(0.002)';
/** Connections that are being dialled when the spike is over are dialled all the same. */
const AFTERMATH_MS = 300;

interface Spike {
  readonly tookMs: number;
  readonly dials: number;
}

/**
 * Fifty queries at once find five idle connections.
 *
 * Opening a connection takes 150 ms because the server makes it so, by an event trigger on login: bytes
 * held up by a proxy would hold up the queries of open connections as well. The proxy counts the dials.
 */
export const spike: Scenario = {
  suite: 'pool',
  name: 'spike',
  situation:
    'A push notification sends fifty users into the app at once, while the pool idles at the five connections that ' +
    'the hour needs. Opening one with TLS, SCRAM and a pooler on the way takes 150 ms, the query 2 ms.',
  async run(context) {
    stayAlive(context.use);
    const proxy = await startSlowToConnect(context.use);
    const config = { ...addressOf(proxy), max: SPIKE, idleTimeoutMillis: 0 };
    const ours: Spike[] = [];
    const theirs: Spike[] = [];
    for (let round = 0; round < (context.quick ? 4 : 15); round += 1) {
      context.signal.throwIfAborted();
      ours.push(await measureSpike(new ReplicaPool(config), proxy));
      theirs.push(await measureSpike(new pg.Pool(config), proxy));
    }
    return rowsOf(ours, theirs);
  },
};

function addressOf({ host, port }: FaultProxy) {
  return { host, port, user: 'postgres', database: 'spike' };
}

async function startSlowToConnect(use: Parameters<Scenario['run']>[0]['use']): Promise<FaultProxy> {
  const server = await startPostgres({ name: 'spike-bench', settings: { max_connections: 150 } });
  use({
    async [Symbol.asyncDispose]() {
      await server.stop();
    },
  });
  await server.createDatabase('spike');
  await server.withClient(
    async (client) => {
      await client.query(`CREATE FUNCTION slow_login() RETURNS event_trigger LANGUAGE plpgsql
        AS 'BEGIN PERFORM pg_sleep(0.15); END'`);
      await client.query('CREATE EVENT TRIGGER slow_login ON login EXECUTE FUNCTION slow_login()');
    },
    { database: 'spike' },
  );
  return use(await startFaultProxy(server));
}

async function measureSpike(pool: pg.Pool, proxy: FaultProxy): Promise<Spike> {
  pool.on('error', () => {}); // What idles at the end is nobody's loss.
  try {
    await warm(pool);
    const dialled = proxy.traffic.acceptedConnections;
    const started = performance.now();
    const answers = await Promise.all(numbers(SPIKE).map((n) => pool.query(QUERY, [n])));
    const tookMs = performance.now() - started;
    for (const [n, { rows }] of answers.entries()) {
      if (rows.length !== 1 || rows[0].n !== n) throw new Error(`query ${n} got another's answer`);
    }
    await sleep(AFTERMATH_MS);
    return { tookMs, dials: proxy.traffic.acceptedConnections - dialled };
  } finally {
    await pool.end();
  }
}

/** Five connections, and a quiet hour's traffic from which a pool may learn what its queries take. */
async function warm(pool: pg.Pool): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) {
    await Promise.all(numbers(IDLE).map((n) => pool.query(QUERY, [n])));
  }
  if (pool.totalCount !== IDLE || pool.idleCount !== IDLE) {
    throw new Error(`${pool.idleCount} of ${pool.totalCount} connections idle, not ${IDLE}`);
  }
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

function rowsOf(ours: readonly Spike[], theirs: readonly Spike[]): Row[] {
  const pairs = (of: (spike: Spike) => number): Pair[] =>
    ours.map((one, round) => ({ ours: of(one), theirs: of(theirs[round] as Spike) }));
  const name = `spike of ${SPIKE} queries on ${IDLE} idle connections`;
  return [
    rowOfPairs(
      {
        suite: 'pool',
        name: `${name}, time to done`,
        answers: 'pool/spike',
        peer: 'pg.Pool',
        unit: 'ms',
        target: { relation: 'at most', ratio: 0.5 },
      },
      pairs(({ tookMs }) => tookMs),
    ),
    rowOfPairs(
      {
        suite: 'pool',
        // Ten queries of 2 ms on each idle connection are done long before a dial is: none is needed.
        name: `${name}, connections dialled; needed: 0`,
        answers: 'pool/spike',
        peer: 'pg.Pool',
        unit: 'dials',
        target: { relation: 'exactly', ratio: 0 },
      },
      pairs(({ dials }) => dials),
    ),
  ];
}
