import { type ClusterNode, coveredSlots, parseClusterNodes, slotMapText } from './cluster-nodes.js';
import { SLOT_COUNT } from './cluster-slot.js';
import type { RedisServer } from './redis-server.js';
import { parseInfo } from './redis-session.js';

/** What one node believes of its cluster. */
export interface ClusterView {
  readonly port: number;
  readonly nodes: readonly ClusterNode[];
  /** `ok` or `fail`. */
  readonly state: string;
  /** Replicas that it streams to. */
  readonly onlineReplicas: number;
  /** Of a replica: whether it streams from its master. */
  readonly isLinkUp: boolean;
}

/** Asks a node. */
export async function clusterViewOf(node: RedisServer): Promise<ClusterView> {
  const nodes = parseClusterNodes(String(await node.command('CLUSTER', 'NODES')));
  const cluster = parseInfo(String(await node.command('CLUSTER', 'INFO')));
  const replication = await node.info('replication');
  const isReplica = replication.get('role') === 'slave';
  return {
    port: node.port,
    nodes,
    state: cluster.get('cluster_state') ?? 'unknown',
    onlineReplicas: [...replication].filter(
      ([name, value]) => /^slave\d+$/.test(name) && value.includes('state=online'),
    ).length,
    isLinkUp: !isReplica || replication.get('master_link_status') === 'up',
  };
}

const UNSETTLED = ['fail', 'fail?', 'handshake', 'noaddr'];

/**
 * Why the nodes that answer are not yet one healthy cluster; undefined if they are. Nodes that are
 * down on purpose are not in `views` and are not missed, as long as no slot depends on them.
 */
export function instability(views: readonly ClusterView[]): string | undefined {
  const running = new Set(views.map((view) => view.port));
  const [first] = views;
  if (first === undefined) return 'no node runs';
  for (const view of views) {
    const reason = faultOf(view, running);
    if (reason !== undefined) return `node ${view.port} ${reason}`;
    if (slotMapText(view.nodes) !== slotMapText(first.nodes)) {
      return `nodes ${first.port} and ${view.port} disagree about the slots`;
    }
    // Each node knows its own role first, so this also waits until the others have heard of it.
    if (replicationText(view, running) !== replicationText(first, running)) {
      return `nodes ${first.port} and ${view.port} disagree about who follows whom`;
    }
  }
  return undefined;
}

function faultOf(view: ClusterView, running: ReadonlySet<number>): string | undefined {
  if (view.state !== 'ok') return `reports cluster_state:${view.state}`;
  const known = new Map(view.nodes.map((node) => [node.port, node]));
  for (const port of running) {
    const node = known.get(port);
    if (node === undefined) return `does not know ${port}`;
    const flag = UNSETTLED.find((name) => node.flags.has(name));
    if (flag !== undefined) return `sees ${port} as ${flag}`;
  }
  if (coveredSlots(view.nodes) !== SLOT_COUNT) return 'sees slots without an owner';
  const lost = view.nodes.find((node) => node.slots.length > 0 && !running.has(node.port));
  if (lost !== undefined) return `sees slots owned by ${lost.port}, which does not run`;
  if (!view.isLinkUp) return 'does not stream from its master';
  const expected = replicasOf(view, running);
  if (view.onlineReplicas < expected) {
    return `streams to ${view.onlineReplicas} of ${expected} replicas`;
  }
  return undefined;
}

function replicasOf(view: ClusterView, running: ReadonlySet<number>): number {
  const own = view.nodes.find((node) => node.port === view.port);
  return view.nodes.filter((node) => node.masterId === own?.id && running.has(node.port)).length;
}

/** Who follows whom among those that run, in one canonical text. */
function replicationText(view: ClusterView, running: ReadonlySet<number>): string {
  const ports = new Map(view.nodes.map((node) => [node.id, node.port]));
  return view.nodes
    .filter((node) => node.masterId !== undefined && running.has(node.port))
    .map((node) => `${node.port}>${ports.get(node.masterId ?? '')}`)
    .sort()
    .join(' ');
}
