import { type PostgresServer, startPostgres } from '@shardline/testkit';
import { Client } from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { corpusSchema, others, reads } from './corpus.js';
import { loadGrammar } from './grammar.js';
import { loadCatalog } from './load-catalog.js';
import { createClassifier } from './statement.js';

/**
 * The oracle is PostgreSQL itself. Whatever is called a read has to run on a hot standby, and on the
 * primary it has to leave the transaction without an id and the session without an advisory lock.
 */
describe('the classifier against a primary and its hot standby', () => {
  let primary: PostgresServer;
  let standby: PostgresServer;
  let onPrimary: Client;
  let onStandby: Client;
  const classifier = createClassifier();

  beforeAll(async () => {
    await loadGrammar();
    primary = await startPostgres({ name: 'oracle' });
    await primary.query(corpusSchema);
    standby = await primary.addReplica();
    await primary.waitForReplica(standby);
    onPrimary = new Client({ connectionString: primary.url });
    onStandby = new Client({ connectionString: standby.url });
    await Promise.all([onPrimary.connect(), onStandby.connect()]);
    await loadCatalog(classifier.catalog, (text) => onStandby.query(text), 0);
  });

  afterAll(async () => {
    await Promise.all([onPrimary?.end(), onStandby?.end()]);
    await primary?.stop();
    await standby?.stop();
  });

  test('the corpus is wide', () => {
    expect(reads.length + others.length).toBeGreaterThan(250);
  });

  test.each(reads)('reads: %s', async (text) => {
    expect(classifier.classify(text)).toMatchObject({ kind: 'read' });
    await run(onStandby, text);
    await onPrimary.query('BEGIN');
    try {
      await run(onPrimary, text);
      expect(await traces(onPrimary)).toEqual({ xid: null, locks: 0 });
    } finally {
      await onPrimary.query('ROLLBACK');
    }
  });

  test.each(others)('is %s, and no read: %s', (kind, text) => {
    expect(classifier.classify(text).kind).toBe(kind);
  });

  test('a function that becomes known is known after the next reading', async () => {
    expect(classifier.classify('SELECT halved(4)').kind).toBe('write');
    expect(classifier.catalog.wantsRefresh(60_000)).toBe(true);
    await primary.query(
      "CREATE FUNCTION halved(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT i / 2'",
    );
    await loadCatalog(classifier.catalog, (text) => onPrimary.query(text), 60_000);
    expect(classifier.classify('SELECT halved(4)').kind).toBe('read');
  });
});

async function run(client: Client, text: string): Promise<void> {
  if (!text.startsWith('COPY')) {
    await client.query(text);
    return;
  }
  await new Promise<void>((resolve, reject) => {
    client.query(copyTo(text)).on('error', reject).on('end', resolve).resume();
  });
}

async function traces(client: Client): Promise<{ xid: string | null; locks: number }> {
  const { rows } = await client.query(
    `SELECT pg_current_xact_id_if_assigned()::text AS xid,
            (SELECT count(*)::int FROM pg_locks
              WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS locks`,
  );
  return rows[0];
}
