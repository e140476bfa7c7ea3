import { ForkedWorkers } from '../../measure/forked-workers.js';
import { countedRow, exactly } from '../../measure/rows.js';
import type { Row, Scenario } from '../../scenario.js';
import type { ColdKeyAnswer, ColdKeyOrder, Library } from './cold-key-main.js';
import { openClient, startSharedRedis } from './rig.js';

const PROCESSES = 8;
const CALLERS = 10_000;
/** A statement that aggregates, as those behind hot keys do. */
const LOAD_MS = 50;

const PEERS: readonly Library[] = ['bentocache', 'async-cache-dedupe'];

/** How often a value is loaded that everybody wants at once and nobody has. */
export const coldKey: Scenario = {
  suite: 'cache',
  name: 'cold-key',
  situation:
    'The leaderboard expires while the final whistle brings 10 000 requests to eight processes at once; loading it takes ' +
    'the database 50 ms. Loads are counted in Redis by the loader itself, and every caller must get the value.',
  async run({ use, quick, signal, note }) {
    const server = await startSharedRedis(use, 'cold-key');
    const counter = openClient(use, server);
    const workers = use(
      await ForkedWorkers.start<ColdKeyOrder, ColdKeyAnswer>(
        new URL('./cold-key.js', import.meta.url),
        Array.from({ length: PROCESSES }, () => [server.url]),
      ),
    );
    const measure = async (library: Library, rounds: number) => {
      const loads: number[] = [];
      const slowest: number[] = [];
      for (let round = 0; round < rounds; round += 1) {
        signal.throwIfAborted();
        const key = `${library}-${round}`;
        const answers = await workers.askAll({
          library,
          key,
          callers: CALLERS / PROCESSES,
          loadMs: LOAD_MS,
        });
        const right = answers.reduce((sum, answer) => sum + answer.right, 0);
        if (right !== CALLERS) throw new Error(`${library}: ${right} of ${CALLERS} had the value`);
        loads.push(Number(await counter.get(`loads:${key}`)));
        slowest.push(Math.max(...answers.map(({ slowestMs }) => slowestMs)));
      }
      return { loads, slowest };
    };
    await measure('shardline', 2); // Connects and warms up.
    note('one key after the other, ours');
    const rounds = quick ? 10 : 40;
    const { loads, slowest } = await measure('shardline', rounds);
    const theirs: Record<string, number> = {};
    for (const peer of PEERS) {
      note(`the same with ${peer}`);
      const seen = await measure(peer, quick ? 3 : 10);
      theirs[`loads per key of ${peer}`] = mean(seen.loads);
    }
    const row: Row = countedRow({
      suite: 'cache',
      name: `${CALLERS} callers on one cold key, ${PROCESSES} processes`,
      answers: 'cache/cold-key',
      peer: 'one load per key',
      unit: 'loads',
      ours: loads.reduce((sum, of) => sum + of, 0),
      theirs: rounds,
      target: exactly(1),
      details: { 'slowest caller, ms': Math.max(...slowest), 'load, ms': LOAD_MS, ...theirs },
    });
    return [row];
  },
};

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
