import { setTimeout as sleep } from 'node:timers/promises';
import {
  type MoveStatus,
  openRebalancer,
  type Rebalancer,
} from '@shardline/shard-router/rebalance';
import { rebalancerOptionsOf } from 'shardline';
import { bettingConfig } from '../../config.js';
import type { BettingServers } from '../../servers.js';
import { Counting } from '../counting.js';
import { judgeRequests } from '../judge.js';
import { NEW_SHARD } from '../servers.js';
import type { Act, Finding, Stage } from '../stage.js';
import type { Tally } from '../tally.js';

/** A fourth shard takes its share while everything goes on. */
export const addShard: Act = {
  name: 'add-shard',
  title: 'A fourth shard is added under load',
  async run(stage) {
    const { load, progress, signal, servers, sizes } = stage;
    await using rebalancer = await openRebalancer(administered(servers));
    await rebalancer.prepareShard(NEW_SHARD, { signal });
    const plan = await rebalancer.plan({ kind: 'add', shard: NEW_SHARD });
    for (const move of plan.moves) {
      progress.note(
        `plan: ${move.slotCount} slots of ${move.keyspace}, ${move.source} to ${move.destination}, about ${move.rows} rows`,
      );
    }
    const counting = new Counting(stage);
    load.cut();
    await sleep(sizes.faultMs, undefined, { signal });
    const atRest = load.cut();
    const report = await rebalancer.apply(plan, {
      signal,
      onProgress: (move) => showMove(stage, move),
    });
    const during = load.cut();
    const exact = await counting.end('while slots move');
    const pauses = report.moves.flatMap(({ pauseMs }) => (pauseMs === undefined ? [] : [pauseMs]));
    progress.note(
      `${report.moves.length} moves done at epoch ${report.epoch}; callers of moving slots waited for ` +
        `${pauses.map((pause) => `${Math.round(pause)}`).join(', ')} ms`,
    );
    return [
      judgeRequests('while a shard is added', during),
      exact,
      allDone(report.moves),
      ...targets(atRest, during, pauses),
      await nothingLeft(rebalancer),
    ];
  },
};

/** The configuration of the service, as whoever moves slots reads it. */
function administered(servers: BettingServers) {
  return rebalancerOptionsOf({
    ...bettingConfig(servers),
    // There is nobody here who would want the slots back after a cup of coffee.
    administration: { limits: { rollbackWindow: '0s' } },
  });
}

function showMove({ progress }: Stage, move: MoveStatus): void {
  const { copiedRows, totalRows } = move.progress;
  const why = move.waitingFor === undefined ? '' : `, waits: ${move.waitingFor}`;
  progress.status(
    `${move.keyspace}, ${move.source} to ${move.destination}: ${move.state}, ${copiedRows} of about ${totalRows} rows${why}`,
  );
}

function allDone(moves: readonly MoveStatus[]): Finding {
  const states = [...new Set(moves.map(({ state }) => state))];
  return {
    of: 'P1',
    what: 'Every move of the plan ends',
    seen: `${moves.length} moves: ${states.join(', ')}`,
    holds: moves.length > 0 && states.length === 1 && states[0] === 'done',
  };
}

function targets(atRest: Tally, during: Tally, pauses: readonly number[]): readonly Finding[] {
  const longest = Math.max(0, ...pauses);
  const share = during.perSecond / atRest.perSecond;
  return [
    {
      of: 'target',
      what: 'Callers wait for at most 250 ms at a switch',
      seen: `longest ${Math.round(longest)} ms of ${pauses.length}`,
      holds: pauses.length > 0 && longest <= 250,
    },
    {
      of: 'target',
      what: 'Throughput while slots move at least 0.8 of that at rest',
      seen: `${share.toFixed(2)} (${Math.round(during.perSecond)} of ${Math.round(atRest.perSecond)} requests/s)`,
      holds: share >= 0.8,
    },
  ];
}

async function nothingLeft(rebalancer: Pick<Rebalancer, 'status'>): Promise<Finding> {
  const { active, shards } = await rebalancer.status();
  const owning = shards.map(({ name, slots }) => `${name} ${slots['users'] ?? 0}`);
  return {
    of: 'P7',
    what: 'No move is left over, and the records of all shards agree with the map',
    seen: `${active.length} under way; slots of users: ${owning.join(', ')}`,
    holds: active.length === 0 && shards.every(({ isRecordCurrent }) => isRecordCurrent === true),
  };
}
