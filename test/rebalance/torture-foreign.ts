/** A plain client that knows no router and writes to one shard throughout, as a forgotten job would. */

import { setTimeout as pause } from 'node:timers/promises';
import { classifyError, openRecorder } from '@shardline/testkit/check';
import pg from 'pg';
import { randomOf } from '../random.js';
import { INSERT, POPULATION, UPDATE } from './torture-plan.js';

const FIRST_KEY = 9_000_000;

/** @returns what ends it. */
export function startForeignClient(
  url: string,
  historyPath: string,
  seed: number,
): () => Promise<void> {
  const recorder = openRecorder({
    path: historyPath,
    process: 'foreign',
    classify: (error) => classifyError(error, { refusedCodes: ['ROW_ABSENT'] }),
  });
  const caller = recorder.caller();
  const random = randomOf(seed);
  let isOver = false;
  let client: pg.Client | undefined;
  const connected = async () => {
    if (client !== undefined) return client;
    const fresh = new pg.Client({ connectionString: url, application_name: 'foreign' });
    fresh.on('error', () => {
      if (client === fresh) client = undefined;
    });
    await fresh.connect();
    client = fresh;
    return fresh;
  };
  const work = async () => {
    for (let made = 0; !isOver; ) {
      let connection: pg.Client;
      try {
        connection = await connected();
      } catch {
        // The shard is down; nothing has been sent.
        await pause(50);
        continue;
      }
      const value = recorder.uniqueValue();
      const isInsert = random() < 0.2;
      const key = isInsert ? FIRST_KEY + made++ : Math.floor(random() * POPULATION);
      const kind = isInsert ? ('insert' as const) : ('update' as const);
      const { outcome } = await caller.run({ kind, key: String(key), value }, async (op) => {
        const { rows } = await connection.query(
          isInsert ? INSERT : UPDATE,
          isInsert ? [key, value, op] : [key, value, op, false],
        );
        if (rows[0] === undefined) throw Object.assign(new Error('no row'), { code: 'ROW_ABSENT' });
        return { version: Number(rows[0].version) };
      });
      if (outcome === 'info') {
        client = undefined;
        await connection.end().catch(() => {});
      }
      await pause(5);
    }
    await client?.end().catch(() => {});
    recorder.close();
  };
  const working = work();
  return async () => {
    isOver = true;
    await working;
  };
}
