/**
 * A service in a process of its own: one pool, some callers, and sessions that come from other processes and leave for
 * them. Obeys its parent, and ends with it.
 */
import { join } from 'node:path';
import { ReplicaPool } from '@shardline/pool';
import { openRecorder } from '@shardline/testkit/check';
import { randomOf } from '../random.js';
import type { SessionOrder, SessionProcessOptions, SessionReport } from './session-orders.js';
import { type Parcel, startWorkload } from './workload.js';

const options = JSON.parse(process.argv[2] as string) as SessionProcessOptions;
const tell = (report: SessionReport) => process.send?.(report);
const pool = new ReplicaPool(options.pool);
/** Sessions that nobody here has taken up yet; older ones are of little use. */
const inbox: Parcel[] = [];
const LONGEST_INBOX = 50;
let stop: () => Promise<void> = async () => {};

process.once('disconnect', () => process.exit(1));
process.on('message', (message: SessionOrder) => {
  switch (message.order) {
    case 'begin':
      inbox.length = 0;
      stop = begin(message.plan);
      return;
    case 'take':
      inbox.push(message.parcel);
      if (inbox.length > LONGEST_INBOX) inbox.shift();
      return;
    case 'stop':
      void stop();
      return;
    case 'end':
      void pool.close({ deadline: '5s' }).finally(() => process.exit(0));
      return;
  }
});

await pool.ready();
tell({ report: 'ready' });

function begin({
  folder,
  name,
  ...plan
}: Extract<SessionOrder, { order: 'begin' }>['plan']): () => Promise<void> {
  const path = join(folder, `${name}-${options.process}.jsonl`);
  const recorder = openRecorder({ path, process: `${name}-${options.process}` });
  const workload = startWorkload({
    ...plan,
    pool,
    recorder,
    random: randomOf(plan.seed),
    exchange: {
      give: (parcel) => tell({ report: 'give', parcel }),
      take: () => inbox.shift(),
    },
  });
  const telling = setInterval(() => tell({ report: 'counts', counts: workload.counts }), 20);
  return async () => {
    await workload.stop();
    clearInterval(telling);
    recorder.close();
    tell({ report: 'stopped', counts: workload.counts, path });
  };
}
