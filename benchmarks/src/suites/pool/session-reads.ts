import { setTimeout as sleep } from 'node:timers/promises';
import type { ReplicaPool } from '@shardline/pool';
import { waitUntil } from '@shardline/testkit';
import type pg from 'pg';
import { type Pair, rowOfPairs } from '../../measure/pairs.js';
import type { Scenario } from '../../scenario.js';
import { openOurs, startAccounts } from './rig.js';

const CALLERS = 8;
const READ = 'SELECT balance FROM account WHERE id = $1';
const WRITE = 'UPDATE account SET balance = $2 WHERE id = $1';
/** The client's way back and forth between its write and the page that it is sent to. */
const REDIRECT_MS = 20;
const READS_AFTER = 8;

/** What the driver was told to send, seen from the connections. */
class Wire {
  /** Ids whose read has been sent, and whether to the primary. */
  readonly #sent = new Map<number, boolean>();

  watch(client: pg.ClientBase, isPrimary: boolean): void {
    const query = client.query.bind(client) as (...parameters: unknown[]) => unknown;
    const watched = (...parameters: unknown[]) => {
      const [text, values] = parameters;
      if (text === READ) this.#sent.set((values as number[])[0] as number, isPrimary);
      return query(...parameters);
    };
    Object.assign(client, { query: watched });
  }

  /** Whether it was sent, and to whom; forgets it. */
  take(id: number): 'not yet' | 'primary' | 'replica' {
    const isPrimary = this.#sent.get(id);
    this.#sent.delete(id);
    if (isPrimary === undefined) return 'not yet';
    return isPrimary ? 'primary' : 'replica';
  }
}

interface Tally {
  reads: number;
  extra: number;
  onPrimary: number;
}

/**
 * How many reads of sessions have to ask somebody something before they can be sent.
 *
 * Not by the clock, which on a busy machine tells nothing: a read that needs no answer first has been
 * handed to the driver by the time the call's own microtasks are done; any other has not.
 */
export const sessionReads: Scenario = {
  suite: 'pool',
  name: 'session-reads',
  situation:
    'A user changes something: the request writes and reads it back, the browser follows the redirect 20 ms later, in ' +
    'the same session by its token, and that page makes eight reads. Replicas show each commit 5 ms late.',
  async run({ use, quick, signal }) {
    const { primary, replicas } = await startAccounts(use, [
      { applyDelay: '5ms' },
      { applyDelay: '5ms' },
    ]);
    const wire = new Wire();
    const pool = await openOurs(use, {
      primary: primary.url,
      replicas: replicas.map(({ url }) => url),
      min: CALLERS,
      max: CALLERS,
      // A check of an idle connection would be a round trip of another kind.
      validateAfterIdle: '1h',
      onConnect: (client) => wire.watch(client, (client as pg.Client).port === primary.port),
    });
    await waitUntil(async () => pool.idleCount === 3 * CALLERS, {
      what: 'all connections to be open',
      within: '20s',
    });
    const rounds: { pair: Pair; onPrimary: number }[] = [];
    for (let round = 0; round < (quick ? 5 : 20); round += 1) {
      signal.throwIfAborted();
      const tally: Tally = { reads: 0, extra: 0, onPrimary: 0 };
      await Promise.all(
        Array.from({ length: CALLERS }, (_, caller) => visit(pool, wire, caller + 1, tally)),
      );
      const percent = (count: number) => (100 * count) / tally.reads;
      rounds.push({
        pair: { ours: percent(tally.extra), theirs: 100 },
        onPrimary: percent(tally.onPrimary),
      });
    }
    const mean = rounds.reduce((sum, { onPrimary }) => sum + onPrimary, 0) / rounds.length;
    return [
      rowOfPairs(
        {
          suite: 'pool',
          name: 'session reads that need an extra round trip, replicas 5 ms behind',
          answers: 'pool/session-reads',
          peer: 'asking the replica before each read (GitLab), by definition',
          unit: '%',
          target: { relation: 'at most', ratio: 0.05 },
          details: { 'our reads on the primary, %': mean },
        },
        rounds.map(({ pair }) => pair),
      ),
    ];
  },
};

/** Twenty-five times: a request that writes, and one that reads. Each caller has an account of its own. */
async function visit(pool: ReplicaPool, wire: Wire, id: number, tally: Tally): Promise<void> {
  let token: string | undefined;
  for (let turn = 1; turn <= 25; turn += 1) {
    const writing = pool.session(token);
    await writing.run(async () => {
      await pool.query(WRITE, [id, turn]);
      await read(pool, wire, { id, expected: turn }, tally);
    });
    token = await writing.token();
    await sleep(REDIRECT_MS);
    const reading = pool.session(token);
    await reading.run(async () => {
      for (let more = 0; more < READS_AFTER; more += 1) {
        await read(pool, wire, { id, expected: turn }, tally);
      }
    });
    token = await reading.token();
  }
}

async function read(
  pool: ReplicaPool,
  wire: Wire,
  { id, expected }: { readonly id: number; readonly expected: number },
  tally: Tally,
): Promise<void> {
  const answer = pool.query(READ, [id]);
  // Runs when the microtasks of the call are done, and before anything can have arrived.
  await new Promise<void>((resolve) => process.nextTick(resolve));
  const atOnce = wire.take(id);
  const { rows } = await answer;
  const where = atOnce === 'not yet' ? wire.take(id) : atOnce;
  if (where === 'not yet') throw new Error('a read was answered that was never sent');
  if (rows[0]?.balance !== expected) {
    throw new Error(`a session wrote ${expected} and read ${rows[0]?.balance}`);
  }
  tally.reads += 1;
  if (atOnce === 'not yet') tally.extra += 1;
  if (where === 'primary') tally.onPrimary += 1;
}
