/** Reads every shard directly, and judges the whole history by each promise. */

import { Keyspace, loadCatalog } from '@shardline/shard-router';
import {
  checkInventory,
  checkLedger,
  checkRegister,
  checkScatter,
  checkWriteOrder,
  type FinalRow,
  type History,
  type Inventory,
  type LedgerRow,
  type Verdict,
  type Violation,
} from '@shardline/testkit/check';
import pg from 'pg';
import { firstValue, POPULATION, SLOTS } from './torture-plan.js';
import type { TortureWorld } from './torture-world.js';

interface ScrapRow {
  readonly shard: string;
  readonly key: string;
  readonly value: string;
}

/** What is on the shards at the end. */
export interface FinalContents {
  readonly ledger: readonly LedgerRow[];
  readonly rows: readonly FinalRow[];
  readonly scrap: readonly ScrapRow[];
  readonly owner: (key: string) => string;
}

export async function readContents(world: TortureWorld): Promise<FinalContents> {
  const ledger: LedgerRow[] = [];
  const rows: FinalRow[] = [];
  const scrap: ScrapRow[] = [];
  for (const [shard, server] of Object.entries(world.shards)) {
    const read = async (sql: string) => (await server.query<Record<string, string>>(sql)).rows;
    for (const row of await read('SELECT op, key::text FROM ledger')) {
      ledger.push({ shard, op: row['op'] as string, key: row['key'] as string });
    }
    for (const row of await read('SELECT key::text, version, value FROM register')) {
      rows.push({
        shard,
        key: row['key'] as string,
        version: Number(row['version']),
        value: row['value'] as string,
      });
    }
    for (const row of await read('SELECT key::text, value FROM scrap')) {
      scrap.push({ shard, key: row['key'] as string, value: row['value'] as string });
    }
  }
  return { ledger, rows, scrap, owner: await ownersOf(world) };
}

async function ownersOf(world: TortureWorld): Promise<(key: string) => string> {
  const client = new pg.Client({ connectionString: world.catalog.url });
  await client.connect();
  const state = await loadCatalog(client as never);
  await client.end();
  const topology = state?.topology.keyspace('torture');
  const keyspace = new Keyspace({
    name: 'torture',
    keyType: 'bigint',
    hash: 'postgres',
    slots: SLOTS,
  });
  return (key) => topology?.ownerOf(keyspace.slotOf(key)) ?? 'nobody';
}

/** By promise. */
export function judge(
  history: History,
  contents: FinalContents,
  inventories: { readonly before: Inventory; readonly after: Inventory },
): Readonly<Record<string, Verdict>> {
  const population = Array.from({ length: POPULATION }, (_, key) => String(key));
  const isPopulation = new Set(population);
  const preloaded = population.map((key) => ({ key, version: 1, value: firstValue(key) }));
  return {
    'P1 every acknowledged write once, at its owner': checkLedger(history, {
      ...contents,
      preloaded,
    }),
    'P1 deleted rows stay deleted': checkScrap(history, contents),
    'P1 no write is overwritten unseen': checkWriteOrder(history, {
      initialVersion: (key) => (isPopulation.has(key) ? 1 : 0),
    }),
    'P2 single keys are linearizable': checkRegister(history, {
      initialValue: (key) => (isPopulation.has(key) ? firstValue(key) : null),
    }),
    'P2 scatters show every row once': checkScatter(history, { population }),
    'P2 no row of the population is ever absent': checkPresence(history),
    'P7 nothing is left': checkInventory(inventories.before, inventories.after),
  };
}

/** Workers update only keys that are there; the foreign client may come to a shard from which they have gone. */
function checkPresence(history: History): Verdict {
  const absent = history.operations.filter(
    ({ error, recorder }) => error === 'ROW_ABSENT' && recorder !== 'foreign',
  );
  return verdictOf(
    absent.map(({ op, key }) => ({
      rule: 'row-absent',
      message: `key ${key} was not found at its shard`,
      operations: [op],
    })),
    history.operations.length,
  );
}

/** Rows that are inserted and really deleted, told apart by their values. */
function checkScrap(history: History, { scrap, owner }: FinalContents): Verdict {
  const violations: Violation[] = [];
  const places = new Map<string, ScrapRow[]>();
  for (const row of scrap) places.set(row.value, [...(places.get(row.value) ?? []), row]);
  const fates = new Map<string, { insert?: string; remove?: string; op: string; key: string }>();
  for (const { op, key = '', outcome, detail } of history.operations) {
    const action = detail?.['scrap'];
    if (typeof action !== 'string') continue;
    const value = String(detail?.['value']);
    const fate = fates.get(value) ?? { op, key };
    fates.set(value, { ...fate, [action === 'insert' ? 'insert' : 'remove']: outcome });
  }
  for (const [value, { insert, remove, op, key }] of fates) {
    const found = places.get(value) ?? [];
    places.delete(value);
    const where = found.map(({ shard }) => shard).join(', ');
    const add = (rule: string, message: string) =>
      violations.push({ rule, message: `${value}: ${message}`, operations: [op] });
    if (insert === 'fail' && found.length > 0) add('failed-write-present', `is on ${where}`);
    if (remove === 'ok' && found.length > 0) add('deleted-row-present', `is on ${where}`);
    if (insert === 'ok' && (remove === undefined || remove === 'fail') && found.length === 0) {
      add('row-lost', 'is nowhere');
    }
    if (found.length > 1) add('row-duplicated', `is on ${where}`);
    if (found.length === 1 && found[0]?.shard !== owner(key))
      add('row-misplaced', `is on ${where}`);
  }
  for (const value of places.keys()) {
    violations.push({
      rule: 'row-unexplained',
      message: `${value}: made by nobody`,
      operations: [],
    });
  }
  return verdictOf(violations, fates.size);
}

function verdictOf(violations: readonly Violation[], looked: number): Verdict {
  return {
    valid: violations.length === 0,
    violations: violations.slice(0, 100),
    counted: { looked, violations: violations.length },
  };
}
