import type { StatementClass } from '../classify/statement-class.js';
import type { SessionView } from '../session/session-floor.js';
import type { NodeView, TopologyState } from '../topology/topology-state.js';
import { hasReached } from '../topology/wal-position.js';

/** Where the caller explicitly wants a statement to run. */
export type RouteTarget = 'primary' | 'replica' | { readonly node: string };

/** Everything that the choice depends on. */
export interface RouteQuestion {
  readonly statement: StatementClass;
  readonly target?: RouteTarget | undefined;
  readonly session?: SessionView | undefined;
  readonly topology: TopologyState;
  /** Servers that are left alone for now; followed unless nobody else is left. */
  readonly ejected: ReadonlySet<string>;
  /** Servers at which this statement has failed already; never tried again. */
  readonly avoid?: ReadonlySet<string> | undefined;
  /** Where reads go when nothing else is said. */
  readonly reads: 'replica' | 'primary';
  /** Replicas were waited for already and did not catch up: take the primary. */
  readonly hasWaited?: boolean | undefined;
}

/**
 * Where a statement goes.
 *
 * - `primary`: to that server.
 * - `replicas`: to any of these; the balancer picks one.
 * - `wait-for-primary`: nobody may be written to at present; wait until somebody may, or the deadline.
 *   With `minimumTimeline` the session has seen a newer timeline than we have: ask all servers at once.
 * - `wait-for-position`: no replica is known to have reached the session's floor: wait a short while
 *   (`CatchUp.whenReached`), then ask again with `hasWaited`.
 * - `settle-session`: where the session stands is still being found out (`session.settle()`): then ask again.
 * - `prove-snapshot`: the session has seen a replica, and the primary must be shown to be as far
 *   (`SnapshotProof.prove`): then `session.proved()` and ask again.
 * - `refuse`: there is no right place, and waiting will not make one.
 */
export type RouteDecision =
  | { readonly to: 'primary'; readonly node: string; readonly reason: string }
  | { readonly to: 'replicas'; readonly nodes: readonly string[]; readonly reason: string }
  | {
      readonly to: 'wait-for-primary';
      readonly minimumTimeline: number;
      readonly reason: string;
    }
  | {
      readonly to: 'wait-for-position';
      readonly nodes: readonly string[];
      readonly reason: string;
    }
  | { readonly to: 'settle-session'; readonly reason: string }
  | {
      readonly to: 'prove-snapshot';
      readonly node: string;
      readonly snapshotXmax: bigint;
      readonly reason: string;
    }
  | {
      readonly to: 'refuse';
      readonly code: 'TARGET_UNKNOWN' | 'TARGET_UNUSABLE' | 'NO_REPLICA' | 'SPLIT_BRAIN';
      readonly reason: string;
    };

/** Decides where a statement goes. Pure: the same question has the same answer. */
export function decideRoute(question: RouteQuestion): RouteDecision {
  const { statement, target, reads } = question;
  if (typeof target === 'object') return decideNamed(question, target.node);
  if (!mayReadReplica(statement, target)) return decidePrimary(question, statement.reason);
  if (target === 'primary') return decidePrimary(question, 'the caller asked for the primary');
  if (target === 'replica') return decideReplica(question, 'the caller asked for a replica', true);
  if (statement.hint === 'primary') return decidePrimary(question, 'a hint asks for the primary');
  if (statement.hint === 'replica') return decideReplica(question, 'a hint asks for a replica');
  return reads === 'replica'
    ? decideReplica(question, statement.reason)
    : decidePrimary(question, `${statement.reason}, and reads go to the primary`);
}

function mayReadReplica(statement: StatementClass, target: RouteTarget | undefined): boolean {
  const { kind, hint, isOverridable } = statement;
  if (kind === 'read' || kind === 'begin-read-only') return true;
  // The caller vouches for a function or relation that we cannot prove pure. A real write fails there.
  return isOverridable === true && (hint === 'replica' || target === 'replica');
}

function decideNamed(question: RouteQuestion, name: string): RouteDecision {
  const view = question.topology.nodes.get(name);
  if (view === undefined) {
    return { to: 'refuse', code: 'TARGET_UNKNOWN', reason: `no server is called '${name}'` };
  }
  const { fault, role } = view;
  const isDangerous =
    fault === 'other-cluster' || fault === 'stale-primary' || fault === 'split-brain';
  if (isDangerous) {
    return { to: 'refuse', code: 'TARGET_UNUSABLE', reason: `${name} is out of use: ${fault}` };
  }
  const reason = `the caller asked for ${name}`;
  return role === 'primary'
    ? { to: 'primary', node: name, reason }
    : { to: 'replicas', nodes: [name], reason };
}

function decidePrimary(question: RouteQuestion, reason: string): RouteDecision {
  const { topology, session } = question;
  const minimumTimeline = session?.floor.position?.timeline ?? 0;
  if (topology.noPrimaryReason === 'split-brain') {
    return { to: 'refuse', code: 'SPLIT_BRAIN', reason: 'two servers take writes' };
  }
  const { primary } = topology;
  if (primary === undefined || topology.timeline < minimumTimeline) {
    const why = primary === undefined ? 'there is no primary' : 'the session knows a newer one';
    return { to: 'wait-for-primary', minimumTimeline, reason: `${reason}; ${why}` };
  }
  return (
    (session !== undefined && !isBlindWrite(question.statement)
      ? beforePrimaryRead(session, primary, topology)
      : undefined) ?? { to: 'primary', node: primary, reason }
  );
}

/**
 * A plain write needs no proof of what the primary sees: rows that a session saw on a replica and that
 * the primary does not show yet are locked there by the transaction that still waits, so it waits for them.
 */
function isBlindWrite({ kind, isOverridable }: StatementClass): boolean {
  return kind === 'commit' || kind === 'rollback' || (kind === 'write' && isOverridable !== true);
}

/** What a session that has read from a replica needs before it reads from the primary. */
function beforePrimaryRead(
  session: SessionView,
  primary: string,
  topology: TopologyState,
): RouteDecision | undefined {
  if (session.pendingReplicas.size > 0) {
    return { to: 'settle-session', reason: 'what was read on a replica is not positioned yet' };
  }
  const { snapshotXmax } = session.floor;
  if (snapshotXmax === undefined) return undefined;
  const seen = topology.nodes.get(primary)?.state.probe?.snapshotXmin;
  if (seen !== undefined && seen >= snapshotXmax) return undefined;
  const reason = `a replica has shown transactions below ${snapshotXmax}`;
  return { to: 'prove-snapshot', node: primary, snapshotXmax, reason };
}

function decideReplica(question: RouteQuestion, reason: string, isForced = false): RouteDecision {
  const { topology, session } = question;
  const usable = usableReplicas(question);
  if (usable.length === 0) {
    if (isForced) return { to: 'refuse', code: 'NO_REPLICA', reason: 'no replica can be used' };
    return decidePrimary(question, `${reason}, but no replica can be used`);
  }
  if (session === undefined) return { to: 'replicas', nodes: usable, reason };
  if (session.isPrimaryPending) {
    return decidePrimary(question, 'what the session did on the primary is not positioned yet');
  }
  return decideForSession(question, session, topology, usable, reason);
}

function decideForSession(
  question: RouteQuestion,
  session: SessionView,
  topology: TopologyState,
  usable: readonly string[],
  reason: string,
): RouteDecision {
  const { position } = session.floor;
  const reached =
    position === undefined
      ? usable
      : usable.filter((name) => isAt(topology.nodes.get(name), position));
  const [pending] = session.pendingReplicas;
  if (pending !== undefined) {
    // What was read there is not positioned yet, so only the same server is certain not to be behind it.
    const isSame = session.pendingReplicas.size === 1 && reached.includes(pending);
    if (isSame) return { to: 'replicas', nodes: [pending], reason: `${reason}, where it was` };
    return { to: 'settle-session', reason: 'what was read on a replica is not positioned yet' };
  }
  if (reached.length > 0) return { to: 'replicas', nodes: reached, reason };
  if (question.hasWaited === true) {
    return decidePrimary(question, 'no replica has caught up with the session');
  }
  return { to: 'wait-for-position', nodes: usable, reason: 'no replica is known to be far enough' };
}

function isAt(view: NodeView | undefined, wanted: { timeline: number; lsn: bigint }): boolean {
  return view?.position !== undefined && hasReached(view.position, wanted);
}

/** Replicas in good health; the ejected among them only when there is nobody else. */
function usableReplicas({ topology, ejected, avoid }: RouteQuestion): readonly string[] {
  const { replicas } = topology;
  const healthy =
    avoid === undefined || avoid.size === 0
      ? replicas
      : replicas.filter((name) => !avoid.has(name));
  if (ejected.size === 0) return healthy;
  const kept = healthy.filter((name) => !ejected.has(name));
  return kept.length > 0 ? kept : healthy;
}
