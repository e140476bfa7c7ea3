import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  afterConnectionLost,
  afterFailure,
  afterProbe,
  afterRefusedWrite,
  type NodeState,
  type ProbeResult,
  unknownNode,
} from './node-state.js';
import { emptyTopology, judgeTopology, type TopologyState } from './topology-state.js';

const limits = { maxLagMs: 1000, maxLagBytes: 1000n };

function answer(over: Partial<ProbeResult> = {}): ProbeResult {
  return {
    role: 'replica',
    timeline: 1,
    lsn: 5000n,
    receivedLsn: undefined,
    replayAgeMs: 0,
    systemIdentifier: '42',
    startedAt: '1',
    snapshotXmax: 10n,
    snapshotXmin: 10n,
    ...over,
  };
}

function node(name: string, over: Partial<ProbeResult> = {}): NodeState {
  return afterProbe(unknownNode(name), answer(over), 1);
}

function judge(states: readonly NodeState[], previous?: TopologyState): TopologyState {
  return judgeTopology(states, previous ?? emptyTopology(states), limits);
}

describe('who may be written to', () => {
  test('is nobody before anybody has answered', () => {
    const state = judge([unknownNode('a'), unknownNode('b')]);
    expect(state).toMatchObject({ primary: undefined, noPrimaryReason: 'not-yet-probed' });
  });

  test('is the one primary, wherever it stands in the list', () => {
    expect(judge([node('a'), node('b', { role: 'primary' })]).primary).toBe('b');
  });

  test('is the one on the newest timeline; the other was demoted', () => {
    const state = judge([
      node('a', { role: 'primary', timeline: 1 }),
      node('b', { role: 'primary', timeline: 2 }),
    ]);
    expect(state.primary).toBe('b');
    expect(state.nodes.get('a')?.fault).toBe('stale-primary');
    expect(state.nodes.get('a')?.position).toBeUndefined();
  });

  test('is nobody while two take writes on one timeline', () => {
    const state = judge([node('a', { role: 'primary' }), node('b', { role: 'primary' })]);
    expect(state).toMatchObject({ primary: undefined, noPrimaryReason: 'split-brain' });
    expect([...state.nodes.values()].map(({ fault }) => fault)).toEqual([
      'split-brain',
      'split-brain',
    ]);
  });

  test('is not the old primary once a newer timeline was seen, even if its server is gone', () => {
    const before = judge([
      node('a', { role: 'primary', timeline: 1 }),
      node('b', { role: 'primary', timeline: 2 }),
    ]);
    const gone = afterFailure(node('b'), 'gone', true);
    const after = judge([node('a', { role: 'primary', timeline: 1 }), gone], before);
    expect(after).toMatchObject({ primary: undefined, noPrimaryReason: 'none-found' });
    expect(after.nodes.get('a')?.fault).toBe('stale-primary');
  });

  test('is not one that has just refused a write', () => {
    const refused = afterRefusedWrite(node('a', { role: 'primary' }), 2);
    const state = judge([refused, node('b')]);
    expect(state.primary).toBeUndefined();
    expect(state.nodes.get('a')?.fault).toBe('refused-write');
    expect(judge([afterProbe(refused, answer({ role: 'primary' }), 3), node('b')]).primary).toBe(
      'a',
    );
  });

  test('is never more than one, whatever the servers say', () => {
    const anyNode = fc.record({
      role: fc.constantFrom('primary' as const, 'replica' as const),
      timeline: fc.integer({ min: 1, max: 3 }),
      systemIdentifier: fc.constantFrom('42', '43'),
    });
    fc.assert(
      fc.property(fc.array(fc.array(anyNode, { minLength: 3, maxLength: 3 })), (rounds) => {
        let state: TopologyState | undefined;
        let newest = 0;
        for (const round of rounds) {
          const states = round.map((over, at) => node(`n${at}`, over));
          state = judge(states, state);
          const { primary } = state;
          if (primary === undefined) continue;
          const view = state.nodes.get(primary);
          expect(view?.fault).toBeUndefined();
          expect(view?.state.probe?.timeline).toBeGreaterThanOrEqual(newest);
          expect(view?.state.probe?.systemIdentifier).toBe(state.systemIdentifier);
          newest = state.timeline;
        }
      }),
    );
  });
});

describe('which cluster is ours', () => {
  test('the declared primary says, and a stranger is refused', () => {
    const state = judge([
      node('a', { role: 'primary' }),
      node('b', { role: 'primary', systemIdentifier: '99', timeline: 7 }),
      node('c'),
    ]);
    expect(state.primary).toBe('a');
    expect(state.nodes.get('b')?.fault).toBe('other-cluster');
    expect(state.replicas).toEqual(['c']);
    expect(state.timeline).toBe(1);
  });

  test('no stranger settles by answering before the declared primary does', () => {
    const early = judge([unknownNode('a'), node('b', { role: 'primary', systemIdentifier: '99' })]);
    expect(early.primary).toBeUndefined();
    const later = judge(
      [node('a', { role: 'primary' }), node('b', { role: 'primary', systemIdentifier: '99' })],
      early,
    );
    expect(later.primary).toBe('a');
  });

  test('nobody is read from before it is known', () => {
    expect(judge([unknownNode('a'), node('b'), node('c')]).replicas).toEqual([]);
    const away = afterFailure(unknownNode('a'), 'refused', true);
    expect(judge([away, node('b'), node('c')]).replicas).toEqual(['b', 'c']);
    expect(judge([away, node('b'), node('c', { systemIdentifier: '9' })]).replicas).toEqual([]);
  });

  test('the others say while the declared primary is away, and it corrects them later', () => {
    const away = afterFailure(unknownNode('a'), 'refused', true);
    const started = judge([away, node('b', { role: 'primary', timeline: 2 }), node('c')]);
    expect(started.primary).toBe('b');
    const disagreeing = judge([
      away,
      node('b', { role: 'primary' }),
      node('c', { systemIdentifier: '9' }),
    ]);
    expect(disagreeing.primary).toBeUndefined();
  });
});

describe('who may be read from', () => {
  const primary = node('p', { role: 'primary', lsn: 10_000n });

  test('is a replica within either limit of lag', () => {
    const state = judge([
      primary,
      node('equal', { lsn: 10_000n, replayAgeMs: 999_999 }),
      node('fewBytes', { lsn: 9_500n, replayAgeMs: 999_999 }),
      node('recent', { lsn: 1n, replayAgeMs: 10 }),
      node('behind', { lsn: 1n, replayAgeMs: 5000 }),
    ]);
    expect(state.replicas).toEqual(['equal', 'fewBytes', 'recent']);
    expect(state.nodes.get('equal')?.lagMs).toBe(0);
    expect(state.nodes.get('behind')?.fault).toBe('lagging');
    expect(state.nodes.get('behind')?.lagBytes).toBe(9_999n);
  });

  test('is no replica that still follows the demoted primary', () => {
    const state = judge([node('p', { role: 'primary', timeline: 2 }), node('r', { timeline: 1 })]);
    expect(state.nodes.get('r')?.fault).toBe('stale-timeline');
    expect(state.replicas).toEqual([]);
  });

  test('goes on without a primary, since then nobody knows how far behind they are', () => {
    const gone = afterFailure(primary, 'gone', true);
    expect(
      judge([gone, node('r', { replayAgeMs: 99_999 })], judge([primary, node('r')])).replicas,
    ).toEqual(['r']);
  });
});

describe('one server', () => {
  test('may be slow once, but not twice, and not refuse at all', () => {
    const slow = afterFailure(node('a'), 'slow', false);
    expect(slow.probe).toBeDefined();
    expect(afterFailure(slow, 'slow', false).probe).toBeUndefined();
    expect(afterFailure(node('a'), 'refused', true).probe).toBeUndefined();
  });

  test('proves nothing after a connection broke, and an answer from before does not count', () => {
    const lost = afterConnectionLost(node('a'), 10);
    expect(lost.probe).toBeUndefined();
    expect(afterProbe(lost, answer(), 9).probe).toBeUndefined();
    expect(afterProbe(lost, answer(), 11).probe).toBeDefined();
  });

  test('keeps the best known timeline of one run, and forgets it with a restart', () => {
    const known = node('a', { timeline: 3 });
    expect(afterProbe(known, answer({ timeline: 1 }), 2).probe?.timeline).toBe(3);
    expect(afterProbe(known, answer({ timeline: 1, startedAt: '2' }), 2).probe?.timeline).toBe(1);
  });
});
