import { ShardlineError } from '@shardline/core';
import { testkitErrors } from '../errors.js';
import type { Endpoint } from '../server/server.js';
import { stopTogether } from '../server/start-together.js';
import { waitUntil } from '../server/wait-until.js';
import { ownerOf } from './cluster-nodes.js';
import { slotOf } from './cluster-slot.js';
import { type ClusterView, clusterViewOf, instability } from './cluster-view.js';
import type { RedisServer } from './redis-server.js';
import { type RedisWait, WAIT_WITHIN } from './redis-wait.js';
import { SlotMove } from './slot-move.js';

/** A manual failover that was not carried out within this time is given up by Redis. */
const MANUAL_FAILOVER_MS = 6_000;

/**
 * A Redis Cluster. Each master and its replicas are a group that lasts: after a failover another of
 * the group is its master.
 */
export class RedisCluster implements AsyncDisposable {
  readonly name: string;
  /** All nodes, masters of the beginning first. */
  readonly nodes: readonly RedisServer[];
  readonly #groups: readonly (readonly RedisServer[])[];

  /** @internal Use startRedisCluster(). */
  constructor(name: string, groups: readonly (readonly RedisServer[])[]) {
    this.name = name;
    this.#groups = groups;
    this.nodes = [
      ...groups.flatMap((group) => group.slice(0, 1)),
      ...groups.flatMap((group) => group.slice(1)),
    ];
  }

  /** Where a client may start to look. */
  get seeds(): readonly Endpoint[] {
    return this.nodes.map(({ host, port }) => ({ host, port }));
  }

  /** Password of the default user. */
  get password(): string | undefined {
    return this.nodes[0]?.password;
  }

  /** The slot of a key. */
  slotOf(key: string | Buffer): number {
    return slotOf(key);
  }

  /** Who serves a key (or a slot, given as a number) as the nodes that run see it. */
  async masterOf(keyOrSlot: string | Buffer | number): Promise<RedisServer> {
    const slot = typeof keyOrSlot === 'number' ? keyOrSlot : slotOf(keyOrSlot);
    const owner = ownerOf((await this.#anyView()).nodes, slot);
    const server = this.nodes.find((node) => node.port === owner?.port);
    if (server === undefined) throw this.#noAnswer(`who owns slot ${slot}`);
    return server;
  }

  /** Those that own slots. */
  async masters(): Promise<RedisServer[]> {
    const { nodes } = await this.#anyView();
    const ports = new Set(nodes.filter((node) => node.slots.length > 0).map((node) => node.port));
    return this.nodes.filter((node) => ports.has(node.port));
  }

  /** The replicas of a master, those that are down included. */
  async replicasOf(master: RedisServer): Promise<RedisServer[]> {
    const { nodes } = await this.#anyView();
    const id = nodes.find((node) => node.port === master.port)?.id;
    const ports = new Set(nodes.filter((node) => node.masterId === id).map((node) => node.port));
    return this.nodes.filter((node) => ports.has(node.port));
  }

  /**
   * Waits until the nodes that run agree on the owner of every slot, each owner runs, and replicas
   * stream. Nodes that a test has taken down are not waited for.
   *
   * @throws ShardlineError `TESTKIT_WAIT_EXPIRED`, saying what was amiss at the end.
   */
  async waitUntilStable(options: RedisWait = {}): Promise<void> {
    await waitUntil(
      async () => {
        const reason = instability(await this.#views());
        if (reason !== undefined) throw new Error(reason);
        return true;
      },
      {
        what: `Redis Cluster ${this.name} to be stable`,
        within: WAIT_WITHIN,
        everyMs: 50,
        ...options,
      },
    );
  }

  /** Waits until another of a master's group has its slots and every node that runs knows. */
  async waitForFailover(former: RedisServer, options: RedisWait = {}): Promise<RedisServer> {
    const group = this.#groupOf(former);
    return waitUntil(
      async () => {
        const views = await this.#views();
        const successor = group.find((node) => node !== former && isMasterInAll(views, node));
        const failed = views.find((view) => view.state !== 'ok');
        if (failed !== undefined) throw new Error(`node ${failed.port} reports ${failed.state}`);
        return successor;
      },
      {
        what: `a replica of ${former.name} to take over`,
        within: WAIT_WITHIN,
        everyMs: 50,
        ...options,
      },
    );
  }

  /** Lets a replica take over from a master that runs, without losing a write. */
  async failOver(master: RedisServer, options: RedisWait = {}): Promise<RedisServer> {
    const [replica] = (await this.replicasOf(master)).filter((node) => node.state === 'running');
    if (replica === undefined) {
      throw new ShardlineError(
        testkitErrors.TESTKIT_SERVER_STATE,
        `No replica of ${master.name} runs that could take over from it.`,
      );
    }
    let askedAt = Number.NEGATIVE_INFINITY;
    await waitUntil(
      async () => {
        if (isMasterInAll(await this.#views(), replica)) return true;
        if (performance.now() - askedAt > MANUAL_FAILOVER_MS) {
          askedAt = performance.now();
          await replica.command('CLUSTER', 'FAILOVER');
        }
        return false;
      },
      { what: `${replica.name} to take over from ${master.name}`, within: WAIT_WITHIN, ...options },
    );
    return replica;
  }

  /** Moves a slot with its keys to another master. */
  async moveSlot(slot: number, to: RedisServer): Promise<void> {
    const move = await this.beginSlotMove(slot, to);
    await move.finish();
  }

  /**
   * Begins to move a slot and leaves it half-way: the source answers ASK for keys that it does not
   * have (any more).
   *
   * @throws ShardlineError `TESTKIT_SERVER_STATE` if the target owns it already.
   */
  async beginSlotMove(slot: number, to: RedisServer): Promise<SlotMove> {
    const from = await this.masterOf(slot);
    if (from === to) {
      throw new ShardlineError(
        testkitErrors.TESTKIT_SERVER_STATE,
        `Slot ${slot} cannot be moved to ${to.name}, which owns it already.`,
      );
    }
    return SlotMove.begin({ slot, from, to, running: () => this.#running() });
  }

  /** Ends all nodes and removes everything of them. */
  async stop(): Promise<void> {
    await stopTogether(this.nodes);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #running(): RedisServer[] {
    return this.nodes.filter((node) => node.state === 'running');
  }

  #views(): Promise<ClusterView[]> {
    return Promise.all(this.#running().map(clusterViewOf));
  }

  async #anyView(): Promise<ClusterView> {
    const views = await Promise.allSettled(this.#running().map(clusterViewOf));
    const answers = views.flatMap((view) => (view.status === 'fulfilled' ? [view.value] : []));
    // A node that was cut off may hold an old view; one that the cluster is whole for knows better.
    const best = answers.find((view) => view.state === 'ok') ?? answers[0];
    if (best === undefined) throw this.#noAnswer('how its slots lie');
    return best;
  }

  #groupOf(node: RedisServer): readonly RedisServer[] {
    return this.#groups.find((group) => group.includes(node)) ?? [];
  }

  #noAnswer(question: string): ShardlineError {
    return new ShardlineError(
      testkitErrors.TESTKIT_SERVER_STATE,
      `No node of Redis Cluster ${this.name} can say ${question}.`,
    );
  }
}

function isMasterInAll(views: readonly ClusterView[], node: RedisServer): boolean {
  return (
    views.length > 0 &&
    views.every((view) =>
      view.nodes.some(({ port, slots }) => port === node.port && slots.length > 0),
    )
  );
}
