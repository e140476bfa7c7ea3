import type { NodeFault, NodeState } from './node-state.js';
import type { WalPosition } from './wal-position.js';

/**
 * From what each server says, what the whole is: who may be written to, who may be read from.
 *
 * Who may be written to is decided on the side of caution:
 * - The newest timeline ever seen counts, even if the server that showed it is gone: whoever takes
 *   writes on an older one has been demoted and does not know it.
 * - Two that take writes on the newest timeline are both refused, since one of them will lose.
 * - Servers of another cluster count for nothing. Which cluster is ours the declared primary says, as
 *   soon as it has answered once, whatever its role is by then. While it cannot be reached the others may
 *   say, if all that answer agree.
 */
export interface TopologyState {
  readonly nodes: ReadonlyMap<string, NodeView>;
  /** The one server that may be written to; undefined while that is not certain. */
  readonly primary: string | undefined;
  /** Why there is no primary, when there is none. */
  readonly noPrimaryReason: 'not-yet-probed' | 'none-found' | 'split-brain' | undefined;
  /** Replicas that may be read from. */
  readonly replicas: readonly string[];
  /** Newest timeline seen on any server of this cluster; 0 before the first answer. */
  readonly timeline: number;
  /** The cluster that this topology belongs to, as far as is known. */
  readonly systemIdentifier: string | undefined;
  /** Whether the declared primary itself has said which cluster it is. */
  readonly isClusterSettled: boolean;
  /** Newest position that any server of this cluster has shown. */
  readonly newestPosition: WalPosition | undefined;
  /** Newest end of a snapshot that any server of this cluster has shown. */
  readonly newestSnapshotXmax: bigint | undefined;
}

/** One server in the light of all others. */
export interface NodeView {
  readonly name: string;
  /** `unknown` without a recent answer. */
  readonly role: 'primary' | 'replica' | 'unknown';
  readonly state: NodeState;
  /** Undefined while it may be used for its role. */
  readonly fault: NodeFault | undefined;
  /** What it is known to hold; undefined when it proves nothing. */
  readonly position: WalPosition | undefined;
  /** Bytes behind the primary, as far as both are known. */
  readonly lagBytes: bigint | undefined;
  /** Time behind the primary: 0 when no byte is missing, else the age of what was replayed last. */
  readonly lagMs: number | undefined;
}

/** Limits of lag: a replica is healthy within either. */
export interface LagLimits {
  readonly maxLagMs: number;
  readonly maxLagBytes: bigint;
}

/** Before anybody has answered. */
export function emptyTopology(states: readonly NodeState[]): TopologyState {
  return {
    nodes: new Map(states.map((state) => [state.name, viewOf(state, undefined)])),
    primary: undefined,
    noPrimaryReason: 'not-yet-probed',
    replicas: [],
    timeline: 0,
    systemIdentifier: undefined,
    isClusterSettled: false,
    newestPosition: undefined,
    newestSnapshotXmax: undefined,
  };
}

/**
 * Judges all servers together.
 *
 * @param states in the order of configuration, the declared primary first.
 */
export function judgeTopology(
  states: readonly NodeState[],
  previous: TopologyState,
  limits: LagLimits,
): TopologyState {
  const systemIdentifier = previous.isClusterSettled
    ? previous.systemIdentifier
    : whichCluster(states);
  const ours = states.filter(
    ({ probe }) => probe !== undefined && probe.systemIdentifier === systemIdentifier,
  );
  const timeline = Math.max(previous.timeline, ...ours.map(({ probe }) => probe?.timeline ?? 0));
  const writers = ours.filter(
    (state) =>
      state.probe?.role === 'primary' &&
      state.probe.timeline === timeline &&
      !state.hasRefusedWrite,
  );
  const primary = writers.length === 1 ? writers[0] : undefined;
  const context: Context = { systemIdentifier, timeline, writers, primary, limits };
  const views = states.map((state) => judgeNode(state, context));
  const isClusterKnown = systemIdentifier !== undefined;
  return {
    nodes: new Map(views.map((view) => [view.name, view])),
    primary: primary?.name,
    noPrimaryReason: primary === undefined ? whyNoPrimary(states, writers) : undefined,
    // While nobody knows which cluster is ours, a replica may be one of another.
    replicas: views
      .filter(({ role, fault }) => role === 'replica' && fault === undefined && isClusterKnown)
      .map(({ name }) => name),
    timeline,
    systemIdentifier,
    isClusterSettled: previous.isClusterSettled || states[0]?.probe !== undefined,
    newestPosition: newestPosition(ours, previous.newestPosition),
    newestSnapshotXmax: newestSnapshotXmax(ours, previous.newestSnapshotXmax),
  };
}

interface Context {
  readonly systemIdentifier: string | undefined;
  readonly timeline: number;
  readonly writers: readonly NodeState[];
  readonly primary: NodeState | undefined;
  readonly limits: LagLimits;
}

function whichCluster(states: readonly NodeState[]): string | undefined {
  const [declared] = states;
  if (declared?.probe !== undefined) return declared.probe.systemIdentifier;
  // A stranger that happens to answer first must not pass for the cluster.
  if (declared === undefined || !hasBeenAsked(declared)) return undefined;
  const identifiers = new Set<string>();
  for (const { probe } of states) if (probe !== undefined) identifiers.add(probe.systemIdentifier);
  const [only] = identifiers;
  return identifiers.size === 1 ? only : undefined;
}

function hasBeenAsked({ probe, failures }: NodeState): boolean {
  return probe !== undefined || failures > 0;
}

function whyNoPrimary(
  states: readonly NodeState[],
  writers: readonly NodeState[],
): TopologyState['noPrimaryReason'] {
  if (writers.length > 1) return 'split-brain';
  return states.every(hasBeenAsked) ? 'none-found' : 'not-yet-probed';
}

function newestPosition(
  ours: readonly NodeState[],
  previous: WalPosition | undefined,
): WalPosition | undefined {
  let newest = previous;
  for (const { probe } of ours) {
    if (probe === undefined) continue;
    const isNewer =
      newest === undefined ||
      probe.timeline > newest.timeline ||
      (probe.timeline === newest.timeline && probe.lsn > newest.lsn);
    if (isNewer) newest = { timeline: probe.timeline, lsn: probe.lsn };
  }
  return newest;
}

function newestSnapshotXmax(
  ours: readonly NodeState[],
  previous: bigint | undefined,
): bigint | undefined {
  let newest = previous;
  for (const { probe } of ours) {
    const shown = probe?.snapshotXmax;
    if (shown !== undefined && (newest === undefined || shown > newest)) newest = shown;
  }
  return newest;
}

function judgeNode(state: NodeState, context: Context): NodeView {
  const view = viewOf(state, context.primary);
  const fault = faultOf(view, context);
  // A server of another cluster, or of another history, shows positions that prove nothing here.
  const provesNothing = fault === 'other-cluster' || fault === 'stale-primary';
  return { ...view, fault, position: provesNothing ? undefined : view.position };
}

function faultOf(view: NodeView, context: Context): NodeFault | undefined {
  const { state, role, lagBytes, lagMs } = view;
  const { probe } = state;
  if (probe === undefined) return state.failures > 0 ? 'unreachable' : undefined;
  const { systemIdentifier, timeline, writers, limits } = context;
  if (systemIdentifier !== undefined && probe.systemIdentifier !== systemIdentifier) {
    return 'other-cluster';
  }
  if (role === 'primary') {
    if (state.hasRefusedWrite) return 'refused-write';
    if (probe.timeline < timeline) return 'stale-primary';
    return writers.length > 1 ? 'split-brain' : undefined;
  }
  if (probe.timeline < timeline) return 'stale-timeline';
  const isLagging =
    lagBytes !== undefined &&
    lagBytes > limits.maxLagBytes &&
    (lagMs === undefined || lagMs > limits.maxLagMs);
  return isLagging ? 'lagging' : undefined;
}

function viewOf(state: NodeState, primary: NodeState | undefined): NodeView {
  const { name, probe } = state;
  if (probe === undefined) {
    return {
      name,
      role: 'unknown',
      state,
      fault: undefined,
      position: undefined,
      lagBytes: undefined,
      lagMs: undefined,
    };
  }
  const ahead = primary?.probe;
  const behindBytes = ahead === undefined ? undefined : ahead.lsn - probe.lsn;
  const lagBytes = behindBytes !== undefined && behindBytes < 0n ? 0n : behindBytes;
  return {
    name,
    role: probe.role,
    state,
    fault: undefined,
    position: { timeline: probe.timeline, lsn: probe.lsn },
    lagBytes,
    // The age of the last replayed transaction grows while the primary is idle, so that it means
    // nothing when not a byte is missing.
    lagMs: lagBytes === 0n ? 0 : probe.replayAgeMs,
  };
}
