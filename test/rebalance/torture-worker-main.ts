/**
 * A service of its own process: writes, reads, deletes and counts through a router until it is told to end, and writes
 * down everything before it is sent and after it is answered. It judges nothing.
 */

import { createRouter } from '@shardline/shard-router';
import { classifyError, openRecorder, type RecordedCaller } from '@shardline/testkit/check';
import { randomOf } from '../random.js';
import { endWithParent, INSERT, POPULATION, UPDATE, type WorkerPlan } from './torture-plan.js';

endWithParent();
const plan = JSON.parse(process.argv[2] as string) as WorkerPlan;
/** Refused before anything was sent, or rolled back whole. */
const REFUSED = ['SLOT_HELD', 'SLOT_MOVED', 'ROW_ABSENT'];
const recorder = openRecorder({
  path: plan.historyPath,
  process: plan.name,
  classify: (error) => classifyError(error, { refusedCodes: REFUSED }),
});
const router = await createRouter(plan.options);
let isOver = false;
let nextKey = plan.firstKey;

const versionOf = (rows: readonly Record<string, unknown>[]) => {
  if (rows[0] === undefined) throw Object.assign(new Error('no row'), { code: 'ROW_ABSENT' });
  return { version: Number(rows[0]['version']) };
};

async function update(caller: RecordedCaller, key: number, isGone = false) {
  const value = recorder.uniqueValue();
  const kind = isGone ? ('delete' as const) : ('update' as const);
  return caller.run({ kind, key: String(key), value }, async (op) =>
    versionOf((await router.query(key, UPDATE, [key, value, op, isGone])).rows),
  );
}

/** In two statements: a switch between them must undo both. */
async function updateInTransaction(caller: RecordedCaller, key: number) {
  const value = recorder.uniqueValue();
  await caller.run({ kind: 'update', key: String(key), value }, (op) =>
    router.transaction(key, async (transaction) => {
      const { rows } = await transaction.query(
        'UPDATE register SET version = version + 1, value = $2 WHERE key = $1 RETURNING version',
        [key, value],
      );
      await transaction.query('INSERT INTO ledger (op, key) VALUES ($1, $2)', [op, key]);
      return versionOf(rows);
    }),
  );
}

async function insertAndDelete(caller: RecordedCaller, random: () => number) {
  const key = nextKey++;
  const value = recorder.uniqueValue();
  const { outcome } = await caller.run({ kind: 'insert', key: String(key), value }, async (op) =>
    versionOf((await router.query(key, INSERT, [key, value, op])).rows),
  );
  if (outcome === 'ok' && random() < 0.7) await update(caller, key, true);
}

/** Rows that really go. The value tells them apart; the judge reads these notes. */
async function scrap(caller: RecordedCaller, random: () => number) {
  const key = nextKey++;
  const value = recorder.uniqueValue();
  const note = (action: string) => ({
    kind: 'call' as const,
    key: String(key),
    detail: { scrap: action, value },
  });
  const { outcome } = await caller.run(note('insert'), async () => {
    await router.query(key, 'INSERT INTO scrap VALUES ($1, $2)', [key, value]);
    return {};
  });
  if (outcome !== 'ok' || random() < 0.3) return;
  await caller.run(note('delete'), async () => {
    const { rowCount } = await router.query(
      key,
      'DELETE FROM scrap WHERE key = $1 AND value = $2',
      [key, value],
    );
    return { count: rowCount ?? 0 };
  });
}

async function read(caller: RecordedCaller, key: number) {
  await caller.run({ kind: 'read', key: String(key) }, async () => {
    const { rows } = await router.query(key, 'SELECT version, value FROM register WHERE key = $1', [
      key,
    ]);
    const row = rows[0];
    return row === undefined
      ? { value: null, version: 0 }
      : { value: String(row['value']), version: Number(row['version']) };
  });
}

async function scatter(caller: RecordedCaller) {
  await caller.run({ kind: 'scatter' }, async () => {
    const rows = await router
      .scatter<{ key: string; version: number }>('SELECT key, version FROM register WHERE NOT gone')
      .all();
    return { rows: rows.map(({ key, version }) => ({ key: String(key), version })) };
  });
}

async function work(caller: RecordedCaller, random: () => number): Promise<void> {
  while (!isOver) {
    const key = Math.floor(random() * POPULATION);
    const choice = random();
    if (choice < 0.4) await update(caller, key);
    else if (choice < 0.5) await updateInTransaction(caller, key);
    else if (choice < 0.58) await insertAndDelete(caller, random);
    else if (choice < 0.65) await scrap(caller, random);
    else if (choice < 0.93) await read(caller, key);
    else await scatter(caller);
  }
}

/** What the router goes through, for the judge of whether the run saw anything. */
const watching = setInterval(() => {
  const { catalog, holds } = router.health();
  if (catalog !== undefined && !catalog.leased) recorder.event('unleased');
  if (holds.some(({ waiting }) => waiting > 0)) recorder.event('held');
}, 5);

process.once('SIGTERM', () => {
  isOver = true;
});
process.stdout.write('ready\n');
await Promise.all(
  Array.from({ length: plan.callers }, (_, at) =>
    work(recorder.caller(), randomOf(plan.seed * 1000 + at)),
  ),
);
clearInterval(watching);
recorder.close();
await router.close();
