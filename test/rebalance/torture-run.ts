/**
 * A run: services that write and read, a client that writes past them, changes of the placement, and faults at states of
 * the moves. Everything is recorded by whoever did it; nothing is judged until all is over.
 */

import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
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
  type RecordedCaller,
  readHistory,
  type Verdict,
} from '@shardline/testkit/check';
import pg from 'pg';
import { bundleProgram, type PlantedBug } from './torture-bundle.js';
import { startForeignClient } from './torture-foreign.js';
import { judge, readContents } from './torture-judge.js';
import { type MoverPlan, POPULATION, randomOf, type WorkerPlan } from './torture-plan.js';
import { TortureProcess } from './torture-process.js';
import { startTortureWorld, type TortureWorld } from './torture-world.js';

/** What is done to the world when a move enters a state. */
export type Fault =
  /** A router stands still over the switch and goes on after it. */
  | { readonly kind: 'freeze-router' }
  /** A transaction on a shard that has written, and commits after the switch, or so long after the fence was wanted. */
  | { readonly kind: 'long-transaction'; readonly shard: string; readonly holdMs?: number }
  | { readonly kind: 'prepared-transaction'; readonly shard: string }
  | { readonly kind: 'ddl'; readonly shards: readonly string[] }
  /** SIGKILL and a new start; `catalog` or a shard. */
  | { readonly kind: 'kill-server'; readonly server: string }
  /** Another one's lock keeps rows from arriving for a while. */
  | { readonly kind: 'stall-apply'; readonly shard: string }
  /** Not a fault of the world but of the product: a shard forgets what it does not own. */
  | { readonly kind: 'disable-guard'; readonly shard: string };

/** One change of the placement with what happens meanwhile. */
export interface Round {
  readonly change: PlacementChange;
  /** Faults by the state at which they begin; each once. */
  readonly faults: Readonly<Record<string, readonly Fault[]>>;
  /** States at whose entry a mover is killed; each once. */
  readonly killMoverAt: readonly string[];
}

/** What a run is. */
export interface TortureOptions {
  readonly seed: number;
  readonly shards: readonly string[];
  readonly workers: number;
  readonly callers: number;
  readonly version?: number;
  readonly bug?: PlantedBug;
  /** The rounds, one after the other, until it returns undefined. */
  readonly nextRound: (number: number) => Round | undefined;
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
const DEFAULT_HOLD_MS = 1000;
/** Longest time that rows are kept from arriving; a sound mover gives the switch up before that. */
const STALL_MS = 20_000;
const FIRST_OWN_KEY = 1_000_000;

/** Runs, judges, and takes everything down. */
export async function torture(options: TortureOptions): Promise<TortureOutcome> {
  const folder = await mkdtemp(join(tmpdir(), 'shardline-torture-'));
  const world = await startTortureWorld(options.shards, options.version);
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
  #mover: TortureProcess | undefined;
  #movers = 0;
  #columns = 0;
  #moverProgram = '';
  #endForeign: () => Promise<void> = async () => {};

  constructor(world: TortureWorld, folder: string, options: TortureOptions) {
    this.#world = world;
    this.#folder = folder;
    this.#options = options;
    this.#random = randomOf(options.seed);
    this.#director = openRecorder({ path: join(folder, 'director.jsonl'), process: 'director' });
  }

  async run(): Promise<TortureOutcome> {
    const { bug } = this.#options;
    const [workerProgram, moverProgram] = await Promise.all([
      bundleProgram('torture-worker-main'),
      bundleProgram('torture-mover-main', bug),
    ]);
    this.#moverProgram = moverProgram;
    const before = await this.#prepare();
    await this.#startWorkers(workerProgram);
    this.#endForeign = startForeignClient(
      this.#url('a'),
      join(this.#folder, 'foreign.jsonl'),
      this.#options.seed,
    );
    let rounds = 0;
    for (;;) {
      const round = this.#options.nextRound(rounds);
      if (round === undefined) break;
      await this.#round(round);
      rounds += 1;
    }
    await this.#endForeign();
    await this.#endWorkers();
    const after = await this.#settledInventory(before);
    const contents = await readContents(this.#world);
    this.#director.close();
    const files = (await readdir(this.#folder)).filter((name) => name.endsWith('.jsonl'));
    const history = readHistory(files.map((name) => join(this.#folder, name)));
    return {
      history,
      verdicts: judge(history, contents, { before, after }),
      rounds,
      moverErrors: this.#moverErrors,
    };
  }

  async end(): Promise<void> {
    await this.#mover?.kill();
    for (const worker of this.#workers) worker.signal('SIGCONT');
    await Promise.all(this.#workers.map((worker) => worker.kill()));
    await this.#endForeign();
    this.#director.close();
  }

  /** Shards that are to join are shards already, so that the inventory before knows their records. */
  async #prepare(): Promise<Inventory> {
    const { openRebalancer } = await import('@shardline/shard-router/rebalance');
    await using rebalancer = await openRebalancer(this.#world.rebalancerOptions);
    for (const shard of this.#options.shards) {
      if (shard !== 'a') await rebalancer.prepareShard(shard);
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
    for (let attempt = 1; ; attempt += 1) {
      if (await this.#runMover(round, kills)) break;
      if (attempt >= MOVER_ATTEMPTS) {
        throw new Error(`No mover came to an end: ${this.#moverErrors.slice(-3).join('; ')}`);
      }
    }
    this.#seen.add('over');
    await Promise.all(this.#background.splice(0));
  }

  /** One mover, until it is done (true), is killed or gives up. */
  async #runMover(round: Round, kills: Set<string>): Promise<boolean> {
    this.#movers += 1;
    const name = `mover-${this.#movers}`;
    const plan: MoverPlan = {
      options: this.#world.rebalancerOptions,
      name,
      historyPath: join(this.#folder, `${name}.jsonl`),
      change: round.change,
    };
    const mover = new TortureProcess(this.#moverProgram, plan, (line) => {
      const state = /^state (\w+)$/.exec(line)?.[1];
      if (state === undefined) return;
      if (!this.#seen.has(state)) {
        this.#seen.add(state);
        for (const fault of round.faults[state] ?? []) this.#background.push(this.#fault(fault));
      }
      if (!kills.delete(state)) return;
      setTimeout(() => {
        this.#director.event('mover-killed', { detail: { state } });
        mover.signal('SIGKILL');
      }, this.#random() * 30);
    });
    this.#mover = mover;
    const code = await mover.gone;
    if (mover.lines.includes('done')) return true;
    if (code !== null) {
      const said = mover.lines.find((line) => line.startsWith('error')) ?? mover.errors;
      this.#moverErrors.push(said);
      await pause(300);
    }
    return false;
  }

  async #fault(fault: Fault): Promise<void> {
    this.#director.event(`fault-${fault.kind}`);
    switch (fault.kind) {
      case 'freeze-router':
        return this.#freezeRouter();
      case 'long-transaction':
        return this.#longTransaction(fault.shard, false, fault.holdMs);
      case 'prepared-transaction':
        return this.#longTransaction(fault.shard, true);
      case 'ddl':
        return this.#addColumn(fault.shards);
      case 'kill-server':
        return this.#killServer(fault.server);
      case 'stall-apply':
        return this.#stallApply(fault.shard);
      case 'disable-guard':
        return this.#disableGuard(fault.shard);
    }
  }

  async #freezeRouter(): Promise<void> {
    const [worker] = this.#workers;
    worker?.signal('SIGSTOP');
    this.#director.event('frozen');
    await this.#until(['reversing', 'over', 'aborted'], 120_000);
    await pause(100 + this.#random() * 400);
    worker?.signal('SIGCONT');
    this.#director.event('thawed');
  }

  /** Begins now, has written, and ends a while after the fence was wanted, or after the switch if nothing held it up. */
  async #longTransaction(
    shard: string,
    isPrepared: boolean,
    holdMs = DEFAULT_HOLD_MS,
  ): Promise<void> {
    const caller = this.#director.caller();
    const client = new pg.Client({ connectionString: this.#url(shard) });
    client.on('error', () => {});
    const pending = await this.#beginLong(client, caller);
    if (pending === undefined) return;
    const { operation, version } = pending;
    try {
      const id = `torture-${operation.op}`;
      if (isPrepared) await client.query(`PREPARE TRANSACTION '${id}'`);
      await this.#until(['fencing', 'over'], 60_000);
      await this.#until(['reversing', 'over'], holdMs);
      await client.query(isPrepared ? `COMMIT PREPARED '${id}'` : 'COMMIT');
      operation.ok({ version });
    } catch (error) {
      operation.threw(error);
    }
    await client.end().catch(() => {});
  }

  async #beginLong(client: pg.Client, caller: RecordedCaller) {
    await client.connect();
    for (let tries = 0; tries < POPULATION; tries += 1) {
      const key = Math.floor(this.#random() * POPULATION);
      const value = this.#director.uniqueValue();
      const operation = caller.begin({ kind: 'update', key: String(key), value });
      try {
        await client.query('BEGIN');
        const { rows } = await client.query(
          'UPDATE register SET version = version + 1, value = $2 WHERE key = $1 RETURNING version',
          [key, value],
        );
        await client.query('INSERT INTO ledger (op, key) VALUES ($1, $2)', [operation.op, key]);
        if (rows[0] !== undefined) return { operation, version: Number(rows[0].version) };
        await client.query('ROLLBACK');
        operation.fail({ error: 'NOT_HERE' });
      } catch (error) {
        operation.threw(error);
        await client.query('ROLLBACK');
      }
    }
    return undefined;
  }

  async #addColumn(shards: readonly string[]): Promise<void> {
    const column = `extra_${this.#columns}`;
    this.#columns += 1;
    for (const shard of shards) {
      for (;;) {
        try {
          await this.#server(shard).query(
            `SET lock_timeout = '300ms'; ALTER TABLE scrap ADD COLUMN IF NOT EXISTS ${column} int; RESET lock_timeout`,
          );
          break;
        } catch {
          await pause(50);
        }
      }
    }
  }

  /** Again and again until an answer was lost: that is what it is for. */
  async #killServer(name: string): Promise<void> {
    const server = name === 'catalog' ? this.#world.catalog : this.#server(name);
    const before = await this.#unknownOutcomes();
    for (let kills = 0; kills < 5; kills += 1) {
      await server.kill();
      this.#director.event('server-killed', { detail: { name } });
      await pause(50 + this.#random() * 200);
      await server.restart();
      if (name === 'catalog' || (await this.#unknownOutcomes()) > before) return;
      await pause(200);
    }
  }

  async #unknownOutcomes(): Promise<number> {
    let count = 0;
    for (const name of await readdir(this.#folder)) {
      if (!/^(worker|foreign)/.test(name)) continue;
      const text = await readFile(join(this.#folder, name), 'utf8');
      count += text.match(/"outcome":"info"/g)?.length ?? 0;
    }
    return count;
  }

  async #stallApply(shard: string): Promise<void> {
    const client = new pg.Client({ connectionString: this.#url(shard) });
    await client.connect();
    await this.#until(['fencing', 'over'], 60_000);
    await client.query('BEGIN; LOCK TABLE register IN EXCLUSIVE MODE');
    await this.#until(['reversing', 'over'], STALL_MS);
    await client.query('ROLLBACK');
    await client.end();
  }

  async #disableGuard(shard: string): Promise<void> {
    for (const table of ['register', 'ledger', 'scrap']) {
      await this.#server(shard).query(`ALTER TABLE ${table} DISABLE TRIGGER "~shardline_guard"`);
    }
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

  #server(name: string) {
    const server = this.#world.shards[name];
    if (server === undefined) throw new Error(`There is no shard '${name}'.`);
    return server;
  }

  #url(name: string): string {
    return this.#server(name).url;
  }
}
