import { setImmediate as turnOfTheLoop } from 'node:timers/promises';
import { atMost, countedRow, exactly } from '../../measure/rows.js';
import { quantile } from '../../measure/statistics.js';
import type { Scenario } from '../../scenario.js';
import { seededRandom } from '../../workload/random.js';
import { EventQueue } from './event-queue.js';
import { Catalog, type ReadTally, ROUTER_LEASE_MS, RouterProcess } from './router-fleet.js';

const FLEETS = [3, 10, 30, 100, 300, 1000] as const;
const READS_PER_MS = 3;

interface World {
  readonly routers: number;
  readonly freezesPerSecond: number;
  readonly switches: number;
}

interface Seen extends ReadTally {
  readonly pausesMs: readonly number[];
}

/**
 * Models: the protocol itself, by the functions that routers run (`router-lease`, `lease`): hold, acknowledge, commit
 * when everyone has acknowledged or his lease is over; clocks up to half a per cent apart, a retransmission now and then,
 * processes frozen for longer than their lease and thawed with reads in flight. Leaves out: the fence and the barrier on
 * the shards (they come on top of the pause), the CPU of the catalog, and writes, which the shards' guards judge.
 */
export const leaseAndAcknowledge: Scenario = {
  suite: 'simulation',
  name: 'lease-and-acknowledge',
  situation:
    'Fleets of 3 to 1000 routers that switch the owner of a group of slots again and again, once with every process ' +
    'awake and once with some frozen at any time. The protocol’s own functions over invented time; no servers.',
  async run({ quick, signal, note, draw }) {
    const switches = quick ? 10 : 100;
    const points: [number, number][] = [];
    let stale = 0;
    let covered = 0;
    const awake = new Map<number, Seen>();
    for (const routers of FLEETS) {
      signal.throwIfAborted();
      note(`${routers} routers, all awake`);
      await turnOfTheLoop(); // Or Ctrl-C would be heard only at the end.
      const seen = simulate({ routers, freezesPerSecond: 0, switches });
      awake.set(routers, seen);
      points.push([routers, quantile(seen.pausesMs, 0.95)]);
      stale += seen.stale;
      covered += seen.covered;
    }
    note('a hundred routers, of which some are frozen');
    const frozen = simulate({ routers: 100, freezesPerSecond: 0.01, switches });
    stale += frozen.stale;
    covered += frozen.covered;
    draw({
      suite: 'simulation',
      name: 'acknowledging by fleet',
      x: 'routers',
      y: 'ms from hold to commit, p95',
      isLogarithmic: true,
      lines: [{ name: 'all awake', points }],
    });
    if (covered < 10_000 || frozen.verified === 0) {
      throw new Error(`a void run: ${covered} covered reads, ${frozen.verified} verified`);
    }
    const pausesOf = (routers: number) => awake.get(routers)?.pausesMs ?? [];
    return [
      countedRow({
        suite: 'simulation',
        name: 'reads served by lease after the slots had gone',
        peer: 'none',
        unit: 'reads',
        ours: stale,
        theirs: 1,
        target: exactly(0),
        details: { 'reads served by lease': covered, 'verified where frozen': frozen.verified },
      }),
      countedRow({
        suite: 'simulation',
        name: 'hold to commit, 100 routers awake, p95',
        peer: 'the limit of the whole pause, 60 ms',
        unit: 'ms',
        ours: quantile(pausesOf(100), 0.95),
        theirs: 60,
        target: atMost(1),
        details: {
          'of 1000 routers, p50, ms': quantile(pausesOf(1000), 0.5),
          'of 1000 routers, longest, ms': Math.max(...pausesOf(1000)),
        },
      }),
      countedRow({
        suite: 'simulation',
        name: 'hold to commit, some of 100 routers frozen, longest',
        peer: 'a lease, a renewal and the late messages',
        unit: 'ms',
        ours: Math.max(...frozen.pausesMs),
        // Whoever freezes while others are waited for may have renewed once more, a quarter of a lease later.
        theirs: 1.25 * ROUTER_LEASE_MS + 500,
        target: atMost(1),
      }),
    ];
  },
};

function simulate({ routers, freezesPerSecond, switches }: World): Seen {
  const queue = new EventQueue();
  const random = seededRandom(1000 + routers);
  const catalog = new Catalog(queue);
  const tally: ReadTally = { covered: 0, verified: 0, held: 0, stale: 0 };
  const world = { readEveryMs: routers / READS_PER_MS, freezesPerSecond };
  for (let index = 0; index < routers; index += 1) {
    new RouterProcess(index, queue, random, catalog, tally, world).start();
  }
  // Everybody has a lease before the first switch, or nothing of it is seen.
  queue.runUntil(2 * ROUTER_LEASE_MS);
  const pausesMs: number[] = [];
  for (let turn = 0; turn < switches; turn += 1) {
    catalog.hold();
    const heldAtMs = queue.nowMs;
    while (!catalog.isSettled()) queue.runUntil(queue.nowMs + 0.5);
    pausesMs.push(queue.nowMs - heldAtMs);
    catalog.commit();
    queue.runUntil(queue.nowMs + 200 + random() * 300);
  }
  return { ...tally, pausesMs };
}
