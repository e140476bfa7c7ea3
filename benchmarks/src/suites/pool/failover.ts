import { setTimeout as sleep } from 'node:timers/promises';
import { isShardlineError } from '@shardline/core';
import type { ReplicaPool } from '@shardline/pool';
import { type PostgresServer, waitUntil } from '@shardline/testkit';
import { type Pair, rowOfPairs } from '../../measure/pairs.js';
import { median } from '../../measure/statistics.js';
import type { Scenario, ScenarioContext } from '../../scenario.js';
import { openOurs, startAccounts } from './rig.js';

const WRITERS = 8;
const LIMIT_MS = 250;

interface Ledger {
  /** Ids by the time at which they were acknowledged. */
  readonly acknowledged: { readonly id: number; readonly atMs: number }[];
  readonly failures: unknown[];
  isStopped: boolean;
}

interface Gap {
  readonly gapMs: number;
  readonly promotionMs: number;
}

/** How long writes stand still when the primary dies, beyond what the promotion takes. */
export const failover: Scenario = {
  suite: 'pool',
  name: 'failover',
  situation:
    'The primary is killed under the writes of eight requests at a time, and an operator (Patroni, a cloud) promotes ' +
    'the synchronous replica at once. The pool has its defaults. What it adds to the outage is its own affair.',
  async run(context) {
    const gaps: Gap[] = [];
    for (let round = 0; round < (context.quick ? 3 : 9); round += 1) {
      context.signal.throwIfAborted();
      gaps.push(await failOver(context));
    }
    const pairs = gaps.map(
      ({ gapMs, promotionMs }): Pair => ({ ours: gapMs - promotionMs, theirs: LIMIT_MS }),
    );
    return [
      rowOfPairs(
        {
          suite: 'pool',
          name: 'no acknowledged write after a failover, less the promotion',
          answers: 'pool/failover',
          peer: `a limit of ${LIMIT_MS} ms`,
          unit: 'ms',
          target: { relation: 'at most', ratio: 1 },
          details: {
            'whole gap, ms': median(gaps.map(({ gapMs }) => gapMs)),
            'promotion, ms': median(gaps.map(({ promotionMs }) => promotionMs)),
            'longest, ms': Math.max(...pairs.map(({ ours }) => ours)),
          },
        },
        pairs,
      ),
    ];
  },
};

async function failOver({ use }: ScenarioContext): Promise<Gap> {
  const { primary, replicas } = await startAccounts(use, [{ synchronous: true }]);
  const heir = replicas[0] as PostgresServer;
  await primary.query('CREATE TABLE ledger (id int PRIMARY KEY)');
  await primary.waitForReplica(heir);
  const pool = await openOurs(use, { primary: primary.url, replicas: [heir.url] });
  const ledger: Ledger = { acknowledged: [], failures: [], isStopped: false };
  let last = 0;
  const writers = Array.from({ length: WRITERS }, () => write(pool, () => ++last, ledger));
  await untilMore(ledger, 500);
  await primary.kill();
  // Whatever was answered until here was answered by the primary that is dead now.
  await settled();
  const killed = ledger.acknowledged.length;
  const promotionMs = await promote(heir);
  await untilMore(ledger, 100);
  ledger.isStopped = true;
  await Promise.all(writers);
  await checkLedger(ledger, heir);
  await pool.close({ deadline: '2s' });
  const before = ledger.acknowledged[killed - 1]?.atMs as number;
  const after = ledger.acknowledged[killed]?.atMs as number;
  return { gapMs: after - before, promotionMs };
}

/** Promotes, and says how long it took until the server took writes, seen over a connection that was open. */
function promote(heir: PostgresServer): Promise<number> {
  return heir.withClient(async (client) => {
    const started = performance.now();
    await client.query('SELECT pg_promote(wait => false)');
    for (;;) {
      const { rows } = await client.query('SELECT pg_is_in_recovery() AS is_replica');
      if (rows[0].is_replica === false) return performance.now() - started;
      await sleep(1);
    }
  });
}

/** Answers that have arrived are taken in. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

async function write(pool: ReplicaPool, nextId: () => number, ledger: Ledger): Promise<void> {
  while (!ledger.isStopped) {
    const id = nextId();
    try {
      await pool.query('INSERT INTO ledger VALUES ($1)', [id]);
      ledger.acknowledged.push({ id, atMs: performance.now() });
    } catch (error) {
      // Cut off in flight: nobody can know. Anything else would be a write that failed.
      if (!isShardlineError(error, 'POOL_OUTCOME_UNKNOWN')) {
        ledger.failures.push(error);
        return;
      }
    }
  }
}

async function untilMore({ acknowledged }: Ledger, writes: number): Promise<void> {
  const wanted = acknowledged.length + writes;
  await waitUntil(async () => acknowledged.length >= wanted, {
    what: `${wanted} acknowledged writes`,
    within: '60s',
  });
}

async function checkLedger({ acknowledged, failures }: Ledger, heir: PostgresServer) {
  if (failures.length > 0) throw new AggregateError(failures, 'Writes failed in the failover.');
  const { rows } = await heir.query<{ id: number }>('SELECT id FROM ledger');
  const present = new Set(rows.map(({ id }) => id));
  const lost = acknowledged.filter(({ id }) => !present.has(id)).length;
  if (lost > 0) throw new Error(`${lost} acknowledged writes were lost`);
}
