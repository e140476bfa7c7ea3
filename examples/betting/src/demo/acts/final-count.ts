import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresServer } from '@shardline/testkit';
import { type Inventory, judgeInventory } from '../judge.js';
import { userCount } from '../seed.js';
import { INITIAL_BALANCE } from '../sizes.js';
import type { Act, Finding, Stage } from '../stage.js';

/** The bound of the namespace `users`, after which no process may show what was overwritten. */
const BOUND_MS = 2000;
const COMPARED = 200;

/** The load ends; every row is counted on the servers themselves, past router and cache. */
export const finalCount: Act = {
  name: 'final-count',
  title: 'The load ends, and everything is counted',
  async run(stage) {
    await stage.load.stop();
    stage.signal.throwIfAborted();
    await sleep(BOUND_MS, undefined, { signal: stage.signal });
    return [...judgeInventory(await takeInventory(stage)), await compareCaches(stage)];
  },
};

/** The server that takes a shard's writes now. */
async function primariesOf({ topology }: Stage): Promise<Map<string, PostgresServer>> {
  const found = new Map<string, PostgresServer>();
  for (const { name, primary, replicas } of topology.shards) {
    for (const server of [primary, ...replicas]) {
      if (server.state === 'running' && !(await server.isInRecovery())) found.set(name, server);
    }
  }
  return found;
}

async function takeInventory(stage: Stage): Promise<Inventory> {
  const { layer, load, sizes } = stage;
  const expectedUsers = userCount(sizes);
  const users = new Set<string>();
  const bets = new Set<string>();
  const counts = { users: 0, misplaced: 0, bets: 0, entries: 0 };
  let money = 0n;
  for (const [shard, server] of await primariesOf(stage)) {
    const { rows: held } = await server.query<{ user_id: string; balance: string }>(
      'SELECT user_id, balance FROM users',
    );
    for (const { user_id, balance } of held) {
      users.add(user_id);
      money += BigInt(balance);
      const owner = layer.router.keyspace('users').explain(user_id);
      if (owner.kind !== 'one' || owner.shard !== shard) counts.misplaced += 1;
    }
    counts.users += held.length;
    const { rows: placed } = await server.query<{ bet_id: string; stake: string }>(
      'SELECT bet_id, stake FROM bets',
    );
    for (const { bet_id, stake } of placed) {
      bets.add(bet_id);
      money += BigInt(stake);
    }
    counts.bets += placed.length;
    const { rows: ledger } = await server.query<{ entries: string }>(
      'SELECT count(*) AS entries FROM transactions',
    );
    counts.entries += Number(ledger[0]?.entries);
    stage.progress.note(
      `${shard}: ${held.length} users, ${placed.length} bets, ${ledger[0]?.entries} ledger entries`,
    );
  }
  const acknowledged = [...load.acknowledgedBets.keys()];
  return {
    users: counts.users,
    expectedUsers,
    misplaced: counts.misplaced,
    betsAcknowledged: acknowledged.length,
    acknowledgedMissing: acknowledged.filter((betId) => !bets.has(betId)).length,
    betsStored: counts.bets,
    betsTwice: counts.bets - bets.size,
    ledgerEntries: counts.entries,
    money,
    expectedMoney: BigInt(expectedUsers) * INITIAL_BALANCE,
  };
}

/** What every process shows of the users asked for most, against the rows. */
async function compareCaches(stage: Stage): Promise<Finding> {
  const stored = new Map<string, string>();
  for (const server of (await primariesOf(stage)).values()) {
    const { rows } = await server.query<{ user_id: string; balance: string }>(
      'SELECT user_id, balance FROM users WHERE user_id <= $1',
      [COMPARED],
    );
    for (const { user_id, balance } of rows) stored.set(user_id, balance);
  }
  let stale = 0;
  let compared = 0;
  for (const url of stage.urls) {
    for (const [userId, balance] of stored) {
      const { status, body } = await stage.client.ask({ url: `${url}/users/${userId}` });
      if (status === 429) continue;
      compared += 1;
      if ((JSON.parse(body) as { balance: string }).balance !== balance) stale += 1;
    }
  }
  return {
    of: 'P3',
    what: 'After all of this no process shows an old row',
    seen: `${compared} compared, ${stale} old`,
    holds: stale === 0 && compared > 0,
  };
}
