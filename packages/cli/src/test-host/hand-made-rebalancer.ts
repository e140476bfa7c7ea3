/** A rebalancer that gives the answers of a test: it stands for the library where no move is to be made. */

import type {
  MoveStatus,
  PlannedStep,
  RebalancePlan,
  Rebalancer,
  RebalanceStatus,
} from '@shardline/shard-router/rebalance';

/** A move that has just begun to copy. */
export const COPYING: MoveStatus = {
  id: '0f3a9c1e-aaaa-4bbb-8ccc-111111111111',
  planId: 'aaaa1111-0000-4000-8000-000000000000',
  keyspace: 'users',
  source: 'one',
  destination: 'three',
  slots: [0, 1, 2, 3, 4],
  state: 'copying',
  mayAbort: true,
  rollbackUntilMs: undefined,
  generation: 4,
  holder: 'tester',
  holderLeaseLeftMs: 9000,
  steering: { isPaused: false, isCutOverHeld: false, bytesPerSecond: undefined },
  progress: {
    copiedBytes: 430_000_000,
    totalBytes: 1_000_000_000,
    copiedRows: 4300,
    totalRows: 10_000,
    isEstimated: true,
    secondsLeft: 12,
    lagBytes: 4096,
  },
  waitingFor: undefined,
  pauseMs: undefined,
  verifiedAtMs: undefined,
  slotBytes: 1_300_000,
  lastError: undefined,
  startedAtMs: Date.UTC(2026, 10, 24, 11, 59),
  stateSinceMs: Date.UTC(2026, 10, 24, 11, 59, 30),
};

/** The same move at its end. */
export const DONE: MoveStatus = {
  ...COPYING,
  state: 'done',
  mayAbort: false,
  holder: undefined,
  holderLeaseLeftMs: undefined,
  pauseMs: 46,
  slotBytes: undefined,
  progress: {
    ...COPYING.progress,
    copiedBytes: 1_000_000_000,
    copiedRows: 10_000,
    secondsLeft: undefined,
  },
};

/** A plan of one move. */
export const PLAN: RebalancePlan = {
  format: 1,
  id: 'aaaa1111-0000-4000-8000-000000000000',
  createdAtMs: Date.UTC(2026, 10, 24, 11),
  fromEpoch: 12,
  change: { kind: 'add', shard: 'three', weight: 1 },
  weights: { one: 1, two: 1, three: 1 },
  removeShards: [],
  moves: [
    {
      keyspace: 'users',
      source: 'one',
      destination: 'three',
      slots: '0-4',
      slotCount: 5,
      rows: 10_000,
      bytes: 1_000_000_000,
    },
  ],
  minimality: { users: { movedSlots: 5, minimumSlots: 5 } },
  balance: {
    users: {
      one: { before: 8, after: 6 },
      two: { before: 8, after: 5 },
      three: { before: 0, after: 5 },
    },
  },
  seal: 'f00d',
};

/** Steps as `describe` gives them. */
export const STEPS: readonly PlannedStep[] = [
  {
    move: 'users one → three',
    state: 'prepared',
    on: 'one',
    description: 'a publication with a row filter is made',
    sql: ['CREATE PUBLICATION shardline_1 FOR TABLE users WHERE (true)'],
    locks: undefined,
    isReversible: true,
  },
  {
    move: 'users one → three',
    state: 'cleaning',
    on: 'one',
    description: 'the old rows are deleted',
    sql: ['DELETE FROM users WHERE false'],
    locks: 'rows, in batches of 1000',
    isReversible: false,
  },
];

/** Everything at rest. */
export const STATUS: RebalanceStatus = {
  epoch: 12,
  revision: 31,
  shards: ['one', 'two'].map((name) => ({
    name,
    weight: 1,
    slots: { users: 8 },
    isRecordCurrent: true,
    guardedTables: ['users'],
    error: undefined,
  })),
  routers: [
    {
      id: 'b7c1d2e3-0000-4000-8000-000000000000',
      name: 'shop',
      version: '0.1.0',
      acknowledgedRevision: 31,
      isCurrent: true,
      leaseLeftMs: 9000,
      seenMsAgo: 400,
    },
  ],
  active: [],
  recent: [DONE],
};

/** A rebalancer that answers as given, and fails loudly where a test has foreseen no answer. */
export function handMade(answers: Partial<Rebalancer> = {}): Rebalancer {
  const close = async () => {};
  const base: Partial<Rebalancer> = {
    status: async () => STATUS,
    move: async () => undefined,
    close,
    [Symbol.asyncDispose]: close,
    ...answers,
  };
  return new Proxy(base, {
    get(target, name) {
      if (name in target || name === 'then') return target[name as keyof Rebalancer];
      throw new Error(`This test has foreseen no answer to ${String(name)}().`);
    },
  }) as Rebalancer;
}
