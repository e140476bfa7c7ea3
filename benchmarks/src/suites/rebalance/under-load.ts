import type { Router } from '@shardline/shard-router';
import type { PlacementChange } from '@shardline/shard-router/rebalance';
import type { Histogram } from 'hdr-histogram-js';
import { latencyHistogram, percentileMs } from '../../measure/latency.js';
import { openLoop } from '../../measure/open-loop.js';
import { atLeast, atMost, countedRow, exactly } from '../../measure/rows.js';
import { quantile } from '../../measure/statistics.js';
import type { Row, Scenario } from '../../scenario.js';
import { seededRandom } from '../../workload/random.js';
import { startCluster } from './rig.js';

const CLOSED_CALLERS = 32;
const WANTED_PER_SECOND = 15_000;

/** Add a shard, give others more weight, take one away: what an operator does in a year. */
const CHANGES: readonly PlacementChange[] = [
  { kind: 'add', shard: 'c' },
  { kind: 'reweight', weights: { a: 2, b: 1, c: 1 } },
  { kind: 'remove', shard: 'c' },
];

interface Seen {
  readonly pausesMs: readonly number[];
  readonly failures: number;
  readonly writes: number;
  readonly movingPerSecond: number;
  readonly slowestMs: number;
  readonly p99Ms: number;
}

/**
 * The pause is the journal's own: from the moment at which callers are held back until they are let on. What clients felt
 * is in the details. The load is 15 000 writes a second, or half of what the machine can do where that is less; the
 * row says which.
 */
export const underLoad: Scenario = {
  suite: 'rebalance',
  name: 'under-load',
  situation:
    'A shard joins, weights change and it leaves again while every user writes: bets of 50 000 users on two shards, point ' +
    'updates by key through the router, first at rest and then while slots move.',
  async run(context) {
    const { quick, signal, note } = context;
    const rows = quick ? 20_000 : 50_000;
    const { router, rebalancer } = await startCluster(context, {
      owning: ['a', 'b'],
      joining: ['c'],
      rows,
    });
    const write = writesOf(router, rows);
    await closedLoop(write, 2000, signal); // Warms up.
    note('at rest');
    const atRest = await closedLoop(write, quick ? 3000 : 10_000, signal);
    const offered = Math.min(WANTED_PER_SECOND, atRest / 2);
    const pausesMs: number[] = [];
    const failures: unknown[] = [];
    const latencies = latencyHistogram();
    const throughputs: number[] = [];
    let writes = 0;
    for (const [turn, change] of CHANGES.entries()) {
      signal.throwIfAborted();
      note(`${change.kind} at ${Math.round(offered)} writes/s`);
      const over = new AbortController();
      // As much as it can while the first change is carried out; then at a steady rate, for the latencies.
      const load =
        turn === 0
          ? saturate(write, over.signal, throughputs, failures)
          : steady(write, offered, over.signal, failures, latencies);
      const report = await rebalancer.apply(await rebalancer.plan(change), { signal });
      over.abort();
      writes += await load;
      for (const { state, pauseMs } of report.moves) {
        if (state !== 'done') throw new Error(`a move ended as ${state}`);
        if (pauseMs !== undefined) pausesMs.push(pauseMs);
      }
    }
    await checkRows(router, rows);
    const seen: Seen = {
      pausesMs,
      failures: failures.length,
      writes,
      movingPerSecond: throughputs[0] ?? 0,
      slowestMs: percentileMs(latencies, 100),
      p99Ms: percentileMs(latencies, 99),
    };
    return rowsOf(seen, atRest, offered);
  },
};

function rowsOf(seen: Seen, atRest: number, offered: number): Row[] {
  const { pausesMs } = seen;
  const pause = { suite: 'rebalance', answers: 'rebalance/pause', unit: 'ms' } as const;
  const details = {
    'writes/s offered': offered,
    moves: pausesMs.length,
    'p50, ms': quantile(pausesMs, 0.5),
    'slowest write felt, ms': seen.slowestMs,
    'p99 of writes, ms': seen.p99Ms,
  };
  return [
    countedRow({
      ...pause,
      name: 'pause of the slots that move, p95',
      peer: 'a limit of 60 ms',
      ours: quantile(pausesMs, 0.95),
      theirs: 60,
      target: atMost(1),
      details,
    }),
    countedRow({
      ...pause,
      name: 'pause of the slots that move, longest',
      peer: 'a limit of 250 ms',
      ours: Math.max(...pausesMs),
      theirs: 250,
      target: atMost(1),
    }),
    countedRow({
      suite: 'rebalance',
      name: 'writes failed during add, reweight and remove',
      answers: 'rebalance/failures',
      peer: 'none',
      unit: 'writes',
      ours: seen.failures,
      theirs: 1,
      target: exactly(0),
      details: { writes: seen.writes },
    }),
    countedRow({
      suite: 'rebalance',
      name: 'writes/s while slots move',
      answers: 'rebalance/throughput',
      peer: 'the same at rest',
      unit: 'writes/s',
      ours: seen.movingPerSecond,
      theirs: atRest,
      target: atLeast(0.8),
    }),
  ];
}

function writesOf(router: Router, users: number): () => Promise<unknown> {
  const random = seededRandom(51);
  return () => {
    const user = Math.floor(random() * users);
    return router.query(user, 'UPDATE bets SET version = version + 1 WHERE user_id = $1', [user]);
  };
}

/** Writes per second of callers that each wait for an answer. */
async function closedLoop(
  write: () => Promise<unknown>,
  durationMs: number,
  signal: AbortSignal,
): Promise<number> {
  const startedMs = performance.now();
  let writes = 0;
  const caller = async () => {
    while (performance.now() - startedMs < durationMs && !signal.aborted) {
      await write();
      writes += 1;
    }
  };
  await Promise.all(Array.from({ length: CLOSED_CALLERS }, caller));
  return writes / ((performance.now() - startedMs) / 1000);
}

async function saturate(
  write: () => Promise<unknown>,
  over: AbortSignal,
  throughputs: number[],
  failures: unknown[],
): Promise<number> {
  const startedMs = performance.now();
  let writes = 0;
  const caller = async () => {
    while (!over.aborted) {
      try {
        await write();
        writes += 1;
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: CLOSED_CALLERS }, caller));
  throughputs.push(writes / ((performance.now() - startedMs) / 1000));
  return writes;
}

/** Writes that come at their own times until the change is over, in spans of a second. */
async function steady(
  write: () => Promise<unknown>,
  perSecond: number,
  over: AbortSignal,
  failures: unknown[],
  all: Histogram,
): Promise<number> {
  const random = seededRandom(52);
  let writes = 0;
  while (!over.aborted) {
    const {
      latencies,
      done,
      failures: failed,
    } = await openLoop(write, {
      perSecond,
      durationMs: 1000,
      random,
      signal: new AbortController().signal,
    });
    writes += done;
    failures.push(...failed);
    all.add(latencies);
  }
  return writes;
}

async function checkRows(router: Router, users: number): Promise<void> {
  const answers = await router.scatter('SELECT user_id FROM bets', []).all();
  const seen = new Set(answers.map((row) => String((row as { user_id: unknown }).user_id)));
  if (answers.length !== users || seen.size !== users) {
    throw new Error(`${answers.length} rows of ${seen.size} users are there, not ${users}`);
  }
}
