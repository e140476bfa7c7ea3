import { compare, concurrent } from '../../measure/compare.js';
import { percentileMs, percentiles } from '../../measure/latency.js';
import { openLoop } from '../../measure/open-loop.js';
import { measurePairs, rowOfPairs } from '../../measure/pairs.js';
import { atLeast, atMost, countedRow, rateRow } from '../../measure/rows.js';
import type { Row, Scenario } from '../../scenario.js';
import { seededRandom } from '../../workload/random.js';
import { ACCOUNTS, openServices, type Service } from './services.js';

const CALLERS = 64;
const READ_SHARE = 0.9;
/** Of what the slower of the two can do: a service is not run at its limit. */
const OPEN_LOOP_SHARE = 0.5;

/** A whole service: routing, pool, three tiers of cache, invalidation, against what people build by hand. */
export const entityGet: Scenario = {
  suite: 'layer',
  name: 'entity-get',
  situation:
    'Accounts of 20 000 players by id over two shards with a replica each, Zipf 0.99 (YCSB), nine reads to a write (YCSB B ' +
    'has 19, A has one; the betting app about nine). Every write is invalidated. The peer: bentocache and a pg.Pool per shard.',
  async run(context) {
    const { quick, signal, note } = context;
    const { ours, theirs } = await openServices(context);
    note('warming both up');
    for (const service of [ours, theirs]) {
      // A service that has run for a while: a cold row in ten requests would be a measure of the warming.
      await concurrent('read all', CALLERS, everyoneOnce(service)).run(ACCOUNTS);
      await concurrent('warm', CALLERS, requestsOf(service, 1)).run(quick ? 20_000 : 100_000);
    }
    note('as many requests as they can, 64 at a time');
    const before = ours.stats();
    const comparison = await compare(
      [
        concurrent(ours.name, CALLERS, requestsOf(ours, 2)),
        concurrent(theirs.name, CALLERS, requestsOf(theirs, 3)),
      ],
      { rounds: quick ? 9 : 31, turnMs: 400, signal },
    );
    const after = ours.stats();
    const throughput = rateRow(comparison, {
      suite: 'layer',
      name: 'entity get and update, requests/s',
      contender: ours.name,
      answers: 'layer/entity-get',
      peer: theirs.name,
      unit: 'requests/s',
      target: atLeast(3),
    });
    const slower = Math.min(throughput.ours, throughput.theirs);
    note('at half of what the slower one can do, as requests come');
    const latency = await latencyRow(ours, theirs, OPEN_LOOP_SHARE * slower, context);
    return [throughput, latency, hitRateRow(before, after)];
  },
};

function everyoneOnce(service: Service): () => Promise<unknown> {
  let next = 0;
  return () => service.get(next++ % ACCOUNTS);
}

/** The next request: nine of ten read, one writes. */
function requestsOf(service: Service, seed: number): () => Promise<unknown> {
  const random = seededRandom(seed);
  return () => {
    const id = service.draw();
    return random() < READ_SHARE ? service.get(id) : service.update(id, Math.floor(random() * 1e6));
  };
}

async function latencyRow(
  ours: Service,
  theirs: Service,
  perSecond: number,
  { quick, signal }: { quick: boolean; signal: AbortSignal },
): Promise<Row> {
  const details: Record<string, number> = { 'requests/s offered': perSecond };
  const p95 = async (service: Service, whose: string) => {
    const { latencies, failures } = await openLoop(requestsOf(service, 4), {
      perSecond,
      durationMs: quick ? 2000 : 5000,
      random: seededRandom(5),
      signal,
    });
    if (failures.length > 0) throw failures[0];
    Object.assign(details, percentiles(latencies, whose));
    return percentileMs(latencies, 95);
  };
  const pairs = await measurePairs(
    { ours: () => p95(ours, 'our'), theirs: () => p95(theirs, 'their') },
    { rounds: quick ? 3 : 9, signal },
  );
  return rowOfPairs(
    {
      suite: 'layer',
      name: 'entity get and update, p95 at equal load',
      answers: 'layer/entity-get',
      peer: theirs.name,
      unit: 'ms',
      target: atMost(0.5),
      details,
    },
    pairs,
  );
}

function hitRateRow(
  before: ReturnType<Service['stats']>,
  after: ReturnType<Service['stats']>,
): Row {
  const lookups = after.lookups - before.lookups;
  const percent = (of: number) => (100 * of) / lookups;
  return countedRow({
    suite: 'layer',
    name: 'entity get, hit rate',
    answers: 'layer/entity-get',
    peer: 'a hit rate of 88 %',
    unit: '%',
    ours: percent(lookups - (after.loads - before.loads)),
    theirs: 88,
    target: atLeast(1),
    details: { 'of L1, %': percent(after.l1 - before.l1), lookups },
  });
}
