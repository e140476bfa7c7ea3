import { compare, concurrent } from '../../measure/compare.js';
import { postgresLimit } from '../../measure/limits.js';
import { isMet, type Row, type Scenario, type Target } from '../../scenario.js';
import { ACCOUNTS, checkReads, openOurs, openTheirs, pointReads, startAccounts } from './rig.js';

const CALLERS = 32;
const PEER = 'pg.Pool';

const VARIANTS: readonly [string, Target][] = [
  ['pipelined', { relation: 'at least', ratio: 1.7 }],
  ['not pipelined', { relation: 'at least', ratio: 0.95 }],
];

/** The same read from ten connections of PostgreSQL's own tool. */
const LIMIT_SCRIPT = `\\set id random(1, ${ACCOUNTS})
SELECT id, name, balance FROM account WHERE id = :id;
`;

/** Reads per second of one process through routing, against the driver's own pool on the same replica. */
export const pointRead: Scenario = {
  suite: 'pool',
  name: 'point-read',
  situation:
    'An API process that reads one row by its key per request, prepared, 32 requests at a time over the ' +
    'ten connections that a pg.Pool has by default: what most requests of most services do.',
  async run({ use, quick, signal }) {
    const { primary, replicas } = await startAccounts(use, [{}]);
    const replica = replicas[0] as (typeof replicas)[number];
    const servers = { primary: primary.url, replicas: [replica.url], max: 10 };
    const pipelined = await openOurs(use, { ...servers, pipelining: true });
    const alone = await openOurs(use, servers);
    const theirs = openTheirs(use, { connectionString: replica.url, max: 10 });
    await checkReads([pipelined, alone, theirs], replica.port);
    const comparison = await compare(
      [
        concurrent('pipelined', CALLERS, pointReads(pipelined)),
        concurrent('not pipelined', CALLERS, pointReads(alone)),
        concurrent(PEER, CALLERS, pointReads(theirs)),
      ],
      { rounds: quick ? 9 : 31, turnMs: 200, signal },
    );
    const limit = await postgresLimit(replica, LIMIT_SCRIPT, {
      callers: 10,
      seconds: quick ? 2 : 5,
      signal,
    });
    const details = { 'limit: pgbench, reads/s': limit ?? 'pgbench is not on this machine' };
    return VARIANTS.map(([name, target]): Row => {
      // Times per operation; throughput is the other way round.
      const { ratio, ratioSpread } = comparison.ratioOf(PEER, name);
      return {
        suite: 'pool',
        name: `routed point read, ${CALLERS} callers, ${name}`,
        answers: 'pool/point-read',
        peer: PEER,
        unit: 'reads/s',
        ours: comparison.figures.get(name)?.operationsPerSecond ?? 0,
        theirs: comparison.figures.get(PEER)?.operationsPerSecond ?? 0,
        ratio,
        ratioSpread,
        target,
        met: isMet(target, ratio),
        details,
      };
    });
  },
};
