import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { StatementClass, StatementKind } from '../classify/statement-class.js';
import { NO_FLOOR, type SessionFloor, type SessionView } from '../session/session-floor.js';
import {
  afterProbe,
  type NodeState,
  type ProbeResult,
  unknownNode,
} from '../topology/node-state.js';
import { emptyTopology, judgeTopology, type TopologyState } from '../topology/topology-state.js';
import { hasReached } from '../topology/wal-position.js';
import { decideRoute, type RouteQuestion } from './decide.js';

function node(name: string, over: Partial<ProbeResult>): NodeState {
  const probe: ProbeResult = {
    role: 'replica',
    timeline: 1,
    lsn: 100n,
    receivedLsn: undefined,
    replayAgeMs: 0,
    systemIdentifier: '42',
    startedAt: '1',
    snapshotXmax: 10n,
    snapshotXmin: 10n,
    ...over,
  };
  return afterProbe(unknownNode(name), probe, 1);
}

function topologyOf(...states: NodeState[]): TopologyState {
  const limits = { maxLagMs: 1000, maxLagBytes: 1_000_000n };
  return judgeTopology(states, emptyTopology(states), limits);
}

const healthy = topologyOf(
  node('p', { role: 'primary', lsn: 200n }),
  node('r1', { lsn: 150n }),
  node('r2', { lsn: 100n }),
);
const noPrimary = topologyOf(node('p', {}), node('r1', {}));
const onlyPrimary = topologyOf(node('p', { role: 'primary' }));

function statement(kind: StatementKind, more: Partial<StatementClass> = {}): StatementClass {
  return { kind, reason: kind, statements: 1, ...more };
}

function session(floor: Partial<SessionFloor>, more: Partial<SessionView> = {}): SessionView {
  const base = { isPrimaryPending: false, pendingReplicas: new Set<string>() };
  return { ...base, floor: { ...NO_FLOOR, ...floor }, ...more };
}

function decide(question: Partial<RouteQuestion>) {
  return decideRoute({
    statement: statement('read'),
    topology: healthy,
    ejected: new Set(),
    reads: 'replica',
    ...question,
  });
}

describe('without a session', () => {
  test('a read goes to the replicas, everything else to the primary', () => {
    expect(decide({})).toMatchObject({ to: 'replicas', nodes: ['r1', 'r2'] });
    expect(decide({ statement: statement('begin-read-only') })).toMatchObject({ to: 'replicas' });
    for (const kind of ['write', 'session', 'begin', 'commit', 'rollback', 'unknown'] as const) {
      expect(decide({ statement: statement(kind) })).toMatchObject({ to: 'primary', node: 'p' });
    }
  });

  test('reads stay on the primary where that is declared, unless a hint or target says otherwise', () => {
    const reads = 'primary' as const;
    expect(decide({ reads })).toMatchObject({ to: 'primary' });
    expect(decide({ reads, target: 'replica' })).toMatchObject({ to: 'replicas' });
    expect(decide({ reads, statement: statement('read', { hint: 'replica' }) })).toMatchObject({
      to: 'replicas',
    });
  });

  test('a hint or a target for the primary is followed', () => {
    expect(decide({ statement: statement('read', { hint: 'primary' }) })).toMatchObject({
      to: 'primary',
    });
    expect(decide({ target: 'primary' })).toMatchObject({ to: 'primary' });
  });

  test('no hint and no target sends a write to a replica', () => {
    const write = statement('write', { hint: 'replica' });
    expect(decide({ statement: write, target: 'replica' })).toMatchObject({ to: 'primary' });
  });

  test('a hint overrules what is merely not known to be pure', () => {
    const read = statement('write', { isOverridable: true, hint: 'replica' });
    expect(decide({ statement: read })).toMatchObject({ to: 'replicas' });
    expect(decide({ statement: statement('write', { isOverridable: true }) })).toMatchObject({
      to: 'primary',
    });
  });

  test('ejected replicas are passed over, unless nobody else is left', () => {
    expect(decide({ ejected: new Set(['r1']) })).toMatchObject({ nodes: ['r2'] });
    expect(decide({ ejected: new Set(['r1', 'r2']) })).toMatchObject({ nodes: ['r1', 'r2'] });
    expect(decide({ avoid: new Set(['r1', 'r2']) })).toMatchObject({ to: 'primary' });
  });

  test('without usable replicas a read goes to the primary; one that insists is refused', () => {
    expect(decide({ topology: onlyPrimary })).toMatchObject({ to: 'primary', node: 'p' });
    expect(decide({ topology: onlyPrimary, target: 'replica' })).toMatchObject({
      to: 'refuse',
      code: 'NO_REPLICA',
    });
  });

  test('without a primary reads go on, and writes wait', () => {
    expect(decide({ topology: noPrimary })).toMatchObject({ to: 'replicas' });
    expect(decide({ topology: noPrimary, statement: statement('write') })).toMatchObject({
      to: 'wait-for-primary',
    });
  });

  test('two primaries are refused, and named ones that are dangerous too', () => {
    const two = topologyOf(node('a', { role: 'primary' }), node('b', { role: 'primary' }));
    expect(decide({ topology: two, statement: statement('write') })).toMatchObject({
      code: 'SPLIT_BRAIN',
    });
    expect(decide({ topology: two, target: { node: 'a' } })).toMatchObject({
      code: 'TARGET_UNUSABLE',
    });
    expect(decide({ target: { node: 'nobody' } })).toMatchObject({ code: 'TARGET_UNKNOWN' });
    expect(decide({ target: { node: 'r2' } })).toMatchObject({ to: 'replicas', nodes: ['r2'] });
  });
});

describe('in a session', () => {
  const at = (lsn: bigint, timeline = 1) => ({ position: { timeline, lsn } });

  test('only replicas at or past the floor are read', () => {
    expect(decide({ session: session(at(100n)) })).toMatchObject({ nodes: ['r1', 'r2'] });
    expect(decide({ session: session(at(101n)) })).toMatchObject({ nodes: ['r1'] });
  });

  test('when none is there they are waited for, and then the primary is taken', () => {
    const question = { session: session(at(151n)) };
    expect(decide(question)).toMatchObject({ to: 'wait-for-position', nodes: ['r1', 'r2'] });
    expect(decide({ ...question, hasWaited: true })).toMatchObject({ to: 'primary' });
  });

  test('a pending write keeps it on the primary', () => {
    const view = session(at(1n), { isPrimaryPending: true });
    expect(decide({ session: view })).toMatchObject({ to: 'primary' });
  });

  test('a pending read keeps it on that replica; elsewhere it has to settle', () => {
    const view = session(at(1n), { pendingReplicas: new Set(['r2']) });
    expect(decide({ session: view })).toMatchObject({ to: 'replicas', nodes: ['r2'] });
    expect(decide({ session: view, avoid: new Set(['r2']) })).toMatchObject({
      to: 'settle-session',
    });
    expect(decide({ session: view, target: 'primary' })).toMatchObject({ to: 'settle-session' });
    expect(decide({ session: view, statement: statement('write') })).toMatchObject({
      to: 'primary',
    });
  });

  test('a fall back to the primary is proven by snapshots', () => {
    expect(decide({ target: 'primary', session: session({ snapshotXmax: 10n }) })).toMatchObject({
      to: 'primary',
    });
    expect(decide({ target: 'primary', session: session({ snapshotXmax: 11n }) })).toMatchObject({
      to: 'prove-snapshot',
      node: 'p',
      snapshotXmax: 11n,
    });
  });

  test('a token of a newer timeline waits for the newer primary', () => {
    expect(decide({ target: 'primary', session: session(at(1n, 2)) })).toMatchObject({
      to: 'wait-for-primary',
      minimumTimeline: 2,
    });
  });

  test('no replica behind the floor is ever chosen', () => {
    const anyReplica = fc.record({
      timeline: fc.integer({ min: 1, max: 3 }),
      lsn: fc.bigInt({ min: 0n, max: 20n }),
      role: fc.constantFrom('replica' as const, 'replica' as const, 'primary' as const),
    });
    const anyFloor = fc.record({
      timeline: fc.integer({ min: 1, max: 3 }),
      lsn: fc.bigInt({ min: 0n, max: 20n }),
    });
    fc.assert(
      fc.property(fc.array(anyReplica, { minLength: 1, maxLength: 4 }), anyFloor, (list, floor) => {
        const topology = topologyOf(...list.map((over, index) => node(`n${index}`, over)));
        const decision = decide({ topology, session: session({ position: floor }) });
        if (decision.to !== 'replicas') return;
        for (const name of decision.nodes) {
          const position = topology.nodes.get(name)?.position;
          expect(position !== undefined && hasReached(position, floor)).toBe(true);
        }
      }),
    );
  });
});
