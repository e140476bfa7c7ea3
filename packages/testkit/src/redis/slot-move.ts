import type { Duration } from '@shardline/core';
import { waitUntil } from '../server/wait-until.js';
import { ownerOf, parseClusterNodes } from './cluster-nodes.js';
import type { RedisServer } from './redis-server.js';

const BATCH = 100;
const MIGRATE_WITHIN_MS = 10_000;

/** Who takes part in a move of a slot. */
export interface SlotMoveParts {
  readonly slot: number;
  readonly from: RedisServer;
  readonly to: RedisServer;
  /** Those of the cluster that run, when asked. */
  readonly running: () => readonly RedisServer[];
}

/**
 * A slot on its way from one master to another. Until finish() the source still owns it: it serves
 * keys that are still there and answers ASK for the others; other nodes answer MOVED to the source.
 * After finish() the source answers MOVED to the target.
 */
export class SlotMove {
  readonly slot: number;
  readonly from: RedisServer;
  readonly to: RedisServer;
  readonly #running: () => readonly RedisServer[];

  private constructor(parts: SlotMoveParts) {
    this.slot = parts.slot;
    this.from = parts.from;
    this.to = parts.to;
    this.#running = parts.running;
  }

  /** @internal Use RedisCluster.beginSlotMove(). */
  static async begin(parts: SlotMoveParts): Promise<SlotMove> {
    const { slot, from, to } = parts;
    await to.command('CLUSTER', 'SETSLOT', slot, 'IMPORTING', await idOf(from));
    await from.command('CLUSTER', 'SETSLOT', slot, 'MIGRATING', await idOf(to));
    return new SlotMove(parts);
  }

  /** Moves these keys of the slot, or all that it has; gives how many were asked for. */
  async moveKeys(keys?: readonly (string | Buffer)[]): Promise<number> {
    return moveKeys(this.from, this.to, this.slot, keys);
  }

  /** Moves the keys that are left, makes the target the owner, and waits until every node knows. */
  async finish(options: { readonly within?: Duration } = {}): Promise<void> {
    await this.moveKeys();
    const id = await idOf(this.to);
    // The target first: were the source to forget the slot earlier, nobody would own it.
    await this.to.command('CLUSTER', 'SETSLOT', this.slot, 'NODE', id);
    await this.from.command('CLUSTER', 'SETSLOT', this.slot, 'NODE', id);
    await this.#untilKnown(options.within ?? '30s');
  }

  /** Takes the keys back and leaves the slot where it was. */
  async abandon(): Promise<void> {
    // The source first: while it gives the slot away it takes no key of it.
    await this.from.command('CLUSTER', 'SETSLOT', this.slot, 'STABLE');
    await moveKeys(this.to, this.from, this.slot);
    await this.to.command('CLUSTER', 'SETSLOT', this.slot, 'STABLE');
  }

  #untilKnown(within: Duration): Promise<boolean> {
    return waitUntil(
      async () => {
        for (const node of this.#running()) {
          const nodes = parseClusterNodes(String(await node.command('CLUSTER', 'NODES')));
          const owner = ownerOf(nodes, this.slot)?.port;
          if (owner !== this.to.port) throw new Error(`${node.name} sees ${owner} as its owner`);
        }
        return true;
      },
      { what: `every node to see ${this.to.name} as the owner of slot ${this.slot}`, within },
    );
  }
}

async function idOf(node: RedisServer): Promise<string> {
  return String(await node.command('CLUSTER', 'MYID'));
}

async function moveKeys(
  from: RedisServer,
  to: RedisServer,
  slot: number,
  keys?: readonly (string | Buffer)[],
): Promise<number> {
  let moved = 0;
  for (;;) {
    const batch =
      keys === undefined
        ? ((await from.commandBuffer('CLUSTER', 'GETKEYSINSLOT', slot, BATCH)) as Buffer[])
        : keys.slice(moved, moved + BATCH);
    if (batch.length === 0) return moved;
    const password = to.password === undefined ? [] : ['AUTH', to.password];
    await from.command(
      ...(['MIGRATE', to.host, to.port, '', 0, MIGRATE_WITHIN_MS, 'REPLACE'] as const),
      ...[...password, 'KEYS', ...batch],
    );
    moved += batch.length;
  }
}
