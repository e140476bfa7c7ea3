import type { Balancing } from '@shardline/pool';
import { type FaultProxy, type PostgresServer, startFaultProxy } from '@shardline/testkit';
import type pg from 'pg';
import { concurrent } from '../../measure/compare.js';
import { measurePairs, rowOfPairs } from '../../measure/pairs.js';
import { median, quantile } from '../../measure/statistics.js';
import type { Row, Scenario } from '../../scenario.js';
import { openOurs, pointReads, startAccounts } from './rig.js';

/**
 * Load decides: a balancer that weighs latency by statements under way is right to use a slow server
 * once the fast ones have long queues, and has no excuse while they have not.
 */
const CALLERS = [6, 16] as const;
const MAX_CALLERS = 16;
/** Only the slow replica takes this long by itself. */
const SLOW_MS = 90;

interface Latencies {
  readonly p99Ms: number;
  readonly slowShare: number;
}

/** What one slow replica does to the slowest per cent of the reads. */
export const slowReplica: Scenario = {
  suite: 'pool',
  name: 'slow-replica',
  situation:
    'One replica of three is ten times slower than the others, as happens with a noisy neighbour, a backup under way or a ' +
    'cold cache, and is not so sick that a health check would take it out. At a light load and at a heavy one.',
  async run({ use, quick, signal }) {
    const { primary, replicas } = await startAccounts(use, [{}, {}, {}]);
    const proxies: FaultProxy[] = [];
    for (const replica of replicas) proxies.push(use(await startFaultProxy(replica)));
    const open = (balancing: Balancing, from = 0) =>
      openOurs(use, {
        primary: primary.url,
        replicas: proxies.map((proxy, index) => throughProxy(proxy, replicas[index])).slice(from),
        balancing,
        max: MAX_CALLERS,
      });
    const ours = await open('p2c-ewma');
    const theirs = await open('round-robin');
    // The best that any balancer could do here: it knows which one is slow.
    const best = await open('least-connections', 1);
    await checkSpread(ours, replicas);
    await checkSpread(theirs, replicas);
    await checkSpread(best, replicas.slice(1));
    // Each way: an answer takes 10 ms, and 100 ms from the slow one, well above what a busy machine adds.
    for (const [index, proxy] of proxies.entries()) proxy.latency(index === 0 ? '50ms' : '5ms');
    const reads = quick ? 1000 : 2500;
    const rows: Row[] = [];
    for (const callers of CALLERS) {
      const shares: number[] = [];
      const bests: number[] = [];
      const sides = {
        async ours() {
          const { p99Ms, slowShare } = await latencies(ours, { callers, reads, signal });
          shares.push(slowShare);
          const withoutSlow = await latencies(best, { callers, reads: reads / 2, signal });
          bests.push(withoutSlow.p99Ms);
          return p99Ms;
        },
        theirs: async () => (await latencies(theirs, { callers, reads, signal })).p99Ms,
      };
      const pairs = await measurePairs(sides, { rounds: quick ? 3 : 9, signal });
      rows.push(
        rowOfPairs(
          {
            suite: 'pool',
            name: `p99 of reads, one replica of three 10 x slower, ${callers} callers`,
            answers: 'pool/slow-replica',
            peer: 'round robin',
            unit: 'ms',
            target: { relation: 'at most', ratio: 0.2 },
            details: {
              'our reads over 90 ms, %': 100 * median(shares),
              'p99 with the slow replica taken out by hand, ms': median(bests),
            },
          },
          pairs,
        ),
      );
    }
    return rows;
  },
};

function throughProxy({ host, port }: FaultProxy, replica: PostgresServer | undefined) {
  return { host, port, user: 'postgres', database: replica?.database ?? 'postgres' };
}

/** All three replicas must serve while they are equals. */
async function checkSpread(pool: pg.Pool, replicas: readonly PostgresServer[]): Promise<void> {
  const seen = new Set<number>();
  for (let turn = 0; turn < 300 && seen.size < replicas.length; turn += 1) {
    const { rows } = await pool.query("SELECT current_setting('port')::int AS port");
    seen.add(rows[0].port);
  }
  const isRight = seen.size === replicas.length && replicas.every(({ port }) => seen.has(port));
  if (!isRight) throw new Error(`reads went to ports ${[...seen].join(', ')} alone`);
}

async function latencies(
  pool: pg.Pool,
  work: { readonly callers: number; readonly reads: number; readonly signal: AbortSignal },
): Promise<Latencies> {
  const read = pointReads(pool);
  const tookMs: number[] = [];
  await concurrent('reads', work.callers, async () => {
    work.signal.throwIfAborted();
    const started = performance.now();
    await read();
    tookMs.push(performance.now() - started);
  }).run(work.reads);
  const slowShare = tookMs.filter((ms) => ms > SLOW_MS).length / tookMs.length;
  return { p99Ms: quantile(tookMs, 0.99), slowShare };
}
