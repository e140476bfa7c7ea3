import type pg from 'pg';
import { concurrent } from '../../measure/compare.js';
import { measurePairs, rowOfPairs } from '../../measure/pairs.js';
import { median } from '../../measure/statistics.js';
import type { Scenario } from '../../scenario.js';
import { checkReads, openOurs, openTheirs, pointReads, startAccounts } from './rig.js';

const CALLERS = 32;

/** What classifying and routing cost the process, by its own CPU time over equal work. */
export const addedCpu: Scenario = {
  suite: 'pool',
  name: 'added-cpu',
  situation:
    'An API process is bound by its one thread long before PostgreSQL is: CPU that the pool takes per query is ' +
    'throughput lost. One text over and over, so that it has been classified before, as nearly all texts have.',
  async run({ use, quick, signal }) {
    const { primary, replicas } = await startAccounts(use, [{}]);
    const replica = replicas[0] as (typeof replicas)[number];
    const ours = await openOurs(use, { primary: primary.url, replicas: [replica.url], max: 10 });
    const theirs = openTheirs(use, { connectionString: replica.url, max: 10 });
    await checkReads([ours, theirs], replica.port);
    const reads = quick ? 4000 : 10_000;
    const kernel = { ours: [] as number[], theirs: [] as number[] };
    const measure = async (pool: pg.Pool, inKernel: number[]) => {
      const { user, system } = await microsecondsPerRead(pointReads(pool), reads);
      inKernel.push(system);
      return user + system;
    };
    const sides = {
      ours: () => measure(ours, kernel.ours),
      theirs: () => measure(theirs, kernel.theirs),
    };
    await measurePairs(sides, { rounds: 2, signal }); // Warms both up.
    const pairs = await measurePairs(sides, { rounds: quick ? 10 : 30, signal });
    return [
      rowOfPairs(
        {
          suite: 'pool',
          name: 'CPU per routed read, not pipelined',
          answers: 'pool/added-cpu',
          peer: 'pg.Pool',
          unit: 'us',
          target: { relation: 'at most', ratio: 1.05 },
          details: {
            'ours in the kernel, us': median(kernel.ours),
            'theirs in the kernel, us': median(kernel.theirs),
          },
        },
        pairs,
      ),
    ];
  },
};

async function microsecondsPerRead(
  read: () => Promise<unknown>,
  reads: number,
): Promise<{ user: number; system: number }> {
  const before = process.cpuUsage();
  const done = await concurrent('reads', CALLERS, read).run(reads);
  const { user, system } = process.cpuUsage(before);
  return { user: user / done, system: system / done };
}
