/**
 * A run: services that write and read, a client that writes past them, changes of the placement, and faults at states of
 * the moves. Everything is recorded by whoever did it; nothing is judged until all is over.
 */

import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { PlacementChange } from '@shardline/shard-router/rebalance';
import {
  checkInventory,
  type History,
  type HistoryRecorder,
  type Inventory,
  openRecorder,
  readHistory,
  selectOperations,
  type Verdict,
} from '@shardline/testkit/check';
import { bundle, type PlantedBug } from '../bundle.js';
import { randomOf } from '../random.js';
import { type Fault, TortureFaults } from './torture-faults.js';
import { startForeignClient } from './torture-foreign.js';
import { judge, readContents } from './torture-judge.js';
import type { MoverPlan, WorkerPlan } from './torture-plan.js';
import { TortureProcess } from './torture-process.js';
import { startTortureWorld, type TortureWorld, type WorldOptions } from './torture-world.js';

/** Changes of the placement with what happens meanwhile. */
export interface Round {
  /** Several are brought about side by side, each by a mover of its own; so they must not share a shard. */
  readonly changes: readonly PlacementChange[];
  /** Faults by the state at which they begin; each once. */
  readonly faults: Readonly<Record<string, readonly Fault[]>>;
  /** States at whose entry a mover is killed; each once. */
  readonly killMoverAt: readonly string[];
}

/** What a run is. */
export interface TortureOptions extends WorldOptions {
  readonly seed: number;
  readonly workers: number;
  readonly callers: number;
  readonly bug?: PlantedBug;
  /**
   * The rounds, one after the other, until it returns undefined. What was seen so far leaves out what is under way: a
   * machine that is slow lets things pass each other by, and another round brings them together.
   */
  readonly nextRound: (
    number: number,
    world: TortureWorld,
    seenSoFar: () => Promise<History>,
  ) => Round | undefined | Promise<Round | undefined>;
}

/** What came of it. */
export interface TortureOutcome {
  readonly history: History;
  readonly verdicts: Readonly<Record<string, Verdict>>;
  readonly rounds: number;
  /** Everything that movers gave up at and was tried again. */
  readonly moverErrors: readonly string[];
}

const MOVER_ATTEMPTS = 20;
const FIRST_OWN_KEY = 1_000_000;

/** Runs, judges, and takes everything down. */
export async function torture(options: TortureOptions): Promise<TortureOutcome> {
  const folder = await mkdtemp(join(tmpdir(), 'shardline-torture-'));
  const world = await startTortureWorld(options);
  const run = new TortureRun(world, folder, options);
  try {
    return await run.run();
  } finally {
    await run.end();
    await world.stop();
    // `SHARDLINE_TORTURE_KEEP=1` leaves the histories for whoever looks into a finding.
    if (process.env['SHARDLINE_TORTURE_KEEP'] !== '1') await rm(folder, { recursive: true });
  }
}

class TortureRun {
  readonly #world: TortureWorld;
  readonly #folder: string;
  readonly #options: TortureOptions;
  readonly #random: () => number;
  readonly #director: HistoryRecorder;
  readonly #workers: TortureProcess[] = [];
  readonly #moverErrors: string[] = [];
  readonly #background: Promise<void>[] = [];
  /** States that the moves of this round have entered, by the time of their first entry. */
  readonly #seen = new Set<string>();
  readonly #faults: TortureFaults;
  readonly #running = new Set<TortureProcess>();
  #movers = 0;
  #moverProgram = '';
  #endForeign: () => Promise<void> = async () => {};

  constructor(world: TortureWorld, folder: string, options: TortureOptions) {
    this.#world = world;
    this.#folder = folder;
    this.#options = options;
    this.#random = randomOf(options.seed);
    this.#director = openRecorder({ path: join(folder, 'director.jsonl'), process: 'director' });
    this.#faults = new TortureFaults({
      world,
      folder,
      director: this.#director,
      random: this.#random,
      worker: () => this.#workers[0],
      until: (states, timeoutMs) => this.#until(states, timeoutMs),
      startMover: (name, change) => this.#startMover(name, change),
    });
  }

  async run(): Promise<TortureOutcome> {
    const { bug } = this.#options;
    const [workerProgram, moverProgram] = await Promise.all([
      bundle(new URL('torture-worker-main.ts', import.meta.url)),
      bundle(new URL('torture-mover-main.ts', import.meta.url), bug),
    ]);
    this.#moverProgram = moverProgram;
    const before = await this.#prepare();
    await this.#startWorkers(workerProgram);
    this.#endForeign = startForeignClient(
      this.#world.server('a').url,
      join(this.#folder, 'foreign.jsonl'),
      this.#options.seed,
    );
    let rounds = 0;
    for (;;) {
      const round = await this.#options.nextRound(rounds, this.#world, async () => {
        const history = await this.#readHistory();
        return selectOperations(history, ({ returnedNs }) => returnedNs !== undefined);
      });
      if (round === undefined) break;
      await this.#round(round);
      rounds += 1;
    }
    await this.#endForeign();
    await this.#endWorkers();
    const after = await this.#settledInventory(before);
    const contents = await readContents(this.#world);
    this.#director.close();
    const history = await this.#readHistory();
    return {
      history,
      verdicts: judge(history, contents, { before, after }),
      rounds,
      moverErrors: this.#moverErrors,
    };
  }

  async end(): Promise<void> {
    await Promise.all([...this.#running].map((mover) => mover.kill()));
    for (const worker of this.#workers) worker.signal('SIGCONT');
    await Promise.all(this.#workers.map((worker) => worker.kill()));
    await this.#endForeign();
    this.#director.close();
  }

  async #readHistory(): Promise<History> {
    const files = (await readdir(this.#folder)).filter((name) => name.endsWith('.jsonl'));
    return readHistory(files.map((name) => join(this.#folder, name)));
  }

  /** Shards that are to join are shards already, so that the inventory before knows their records. */
  async #prepare(): Promise<Inventory> {
    const { openRebalancer } = await import('@shardline/shard-router/rebalance');
    await using rebalancer = await openRebalancer(this.#world.rebalancerOptions);
    const { shards, owning } = this.#options;
    for (const shard of shards) {
      if (!owning.includes(shard)) await rebalancer.prepareShard(shard);
    }
    return this.#world.inventory();
  }

  async #startWorkers(program: string): Promise<void> {
    const { workers, callers, seed } = this.#options;
    for (let at = 0; at < workers; at += 1) {
      const name = `worker-${at}`;
      const plan: WorkerPlan = {
        options: { ...this.#world.routerOptions, name },
        name,
        historyPath: join(this.#folder, `${name}.jsonl`),
        seed: seed * 100 + at,
        callers,
        firstKey: FIRST_OWN_KEY * (at + 1),
      };
      this.#workers.push(new TortureProcess(program, plan));
    }
    for (const worker of this.#workers) {
      if (!(await worker.heard((line) => line === 'ready'))) throw new Error(worker.errors);
    }
  }

  async #endWorkers(): Promise<void> {
    for (const worker of this.#workers) worker.signal('SIGTERM');
    for (const worker of this.#workers) {
      const code = await worker.gone;
      if (code !== 0) throw new Error(`A worker ended with ${code}: ${worker.errors}`);
    }
  }

  async #round(round: Round): Promise<void> {
    this.#seen.clear();
    const kills = new Set(round.killMoverAt);
    await Promise.all(round.changes.map((change) => this.#bringAbout(change, round, kills)));
    this.#seen.add('over');
    await Promise.all(this.#background.splice(0));
  }

  async #bringAbout(change: PlacementChange, round: Round, kills: Set<string>): Promise<void> {
    for (let attempt = 1; attempt <= MOVER_ATTEMPTS; attempt += 1) {
      if (await this.#runMover(change, round, kills)) return;
    }
    throw new Error(`No mover came to an end: ${this.#moverErrors.slice(-3).join('; ')}`);
  }

  /** One mover, until it is done (true), is killed or gives up. */
  async #runMover(change: PlacementChange, round: Round, kills: Set<string>): Promise<boolean> {
    this.#movers += 1;
    const mover = this.#startMover(`mover-${this.#movers}`, change, (line) => {
      const state = /^state (\w+)$/.exec(line)?.[1];
      if (state === undefined) return;
      if (!this.#seen.has(state)) {
        this.#seen.add(state);
        for (const fault of round.faults[state] ?? []) {
          this.#background.push(this.#faults.commit(fault));
        }
      }
      if (!kills.delete(state)) return;
      setTimeout(() => {
        this.#director.event('mover-killed', { detail: { state } });
        mover.signal('SIGKILL');
      }, this.#random() * 30);
    });
    const code = await mover.gone;
    if (mover.lines.includes('done')) return true;
    if (code !== null) {
      const said = mover.lines.find((line) => line.startsWith('error')) ?? mover.errors;
      this.#moverErrors.push(said);
      await pause(300);
    }
    return false;
  }

  #startMover(
    name: string,
    change: PlacementChange,
    onLine?: (line: string) => void,
  ): TortureProcess {
    const plan: MoverPlan = {
      options: this.#world.rebalancerOptions,
      name,
      historyPath: join(this.#folder, `${name}.jsonl`),
      change,
    };
    const mover = new TortureProcess(this.#moverProgram, plan, onLine);
    this.#running.add(mover);
    void mover.gone.then(() => this.#running.delete(mover));
    return mover;
  }

  /** Waits until one of the states was entered in this round, and no longer than so. */
  async #until(states: readonly string[], timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!states.some((state) => this.#seen.has(state)) && performance.now() < deadline) {
      await pause(5);
    }
  }

  /** Workers of subscriptions and senders end in their own time. */
  async #settledInventory(before: Inventory): Promise<Inventory> {
    const deadline = performance.now() + 30_000;
    for (;;) {
      const after = await this.#world.inventory();
      if (checkInventory(before, after).valid || performance.now() > deadline) return after;
      await pause(200);
    }
  }
}
