/** What is done to the world, or in a corner of it, while slots move. */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { PlacementChange } from '@shardline/shard-router/rebalance';
import type { HistoryRecorder, RecordedCaller } from '@shardline/testkit/check';
import pg from 'pg';
import { INSERT, POPULATION, UPDATE } from './torture-plan.js';
import type { TortureProcess } from './torture-process.js';
import type { TortureWorld } from './torture-world.js';

/** What is done to the world when a move enters a state. */
export type Fault =
  /** A router stands still over the switch and goes on after it. */
  | { readonly kind: 'freeze-router' }
  /** A transaction on a shard that has written, and commits when the move is over, or so long after the fence was wanted. */
  | {
      readonly kind: 'long-transaction';
      readonly shard: string;
      readonly holdMs?: number;
      /** Writes a row that nobody else does, where services that wait for its lock would keep the switch waiting, too. */
      readonly isAlone?: boolean;
    }
  | { readonly kind: 'prepared-transaction'; readonly shard: string }
  | { readonly kind: 'ddl'; readonly shards: readonly string[] }
  /** SIGKILL and a new start; `catalog` or a shard. */
  | { readonly kind: 'kill-server'; readonly server: string }
  /** A coordinator of its own that wants slots of a shard that takes part in a move. */
  | { readonly kind: 'rival'; readonly change: PlacementChange }
  /** Another one's lock keeps rows from arriving for a while. */
  | { readonly kind: 'stall-apply'; readonly shard: string }
  /** Not a fault of the world but of the product: a shard forgets what it does not own. */
  | { readonly kind: 'disable-guard'; readonly shard: string };

/** What faults need of the run. */
export interface FaultStage {
  readonly world: TortureWorld;
  readonly folder: string;
  readonly director: HistoryRecorder;
  readonly random: () => number;
  /** The service that is frozen. */
  readonly worker: () => TortureProcess | undefined;
  /** Waits until one of the states was entered in this round, and no longer than so. */
  until(states: readonly string[], timeoutMs: number): Promise<void>;
  startMover(name: string, change: PlacementChange): TortureProcess;
}

type LongTransaction = Omit<Extract<Fault, { kind: 'long-transaction' }>, 'kind'> & {
  readonly isPrepared?: boolean;
};

/** Of rows that only long transactions write. */
const FIRST_KEY = 8_000_000;
const DEFAULT_HOLD_MS = 1000;
/** Longest time that rows are kept from arriving; a sound mover gives the switch up before that. */
const STALL_MS = 20_000;

/** Commits faults. */
export class TortureFaults {
  readonly #stage: FaultStage;
  #columns = 0;
  #rivals = 0;
  #nextKey = FIRST_KEY;

  constructor(stage: FaultStage) {
    this.#stage = stage;
  }

  get #world(): TortureWorld {
    return this.#stage.world;
  }

  get #director(): HistoryRecorder {
    return this.#stage.director;
  }

  get #random(): () => number {
    return this.#stage.random;
  }

  /** Does it, and undoes it where it is to be undone. */
  async commit(fault: Fault): Promise<void> {
    this.#director.event(`fault-${fault.kind}`);
    switch (fault.kind) {
      case 'freeze-router':
        return this.#freezeRouter();
      case 'long-transaction':
        return this.#longTransaction(fault);
      case 'prepared-transaction':
        return this.#longTransaction({ ...fault, isPrepared: true });
      case 'ddl':
        return this.#addColumn(fault.shards);
      case 'kill-server':
        return this.#killServer(fault.server);
      case 'rival':
        return this.#rival(fault.change);
      case 'stall-apply':
        return this.#stallApply(fault.shard);
      case 'disable-guard':
        return this.#disableGuard(fault.shard);
    }
  }

  async #freezeRouter(): Promise<void> {
    const worker = this.#stage.worker();
    worker?.signal('SIGSTOP');
    this.#director.event('frozen');
    await this.#stage.until(['reversing', 'over', 'aborted'], 120_000);
    await pause(100 + this.#random() * 400);
    worker?.signal('SIGCONT');
    this.#director.event('thawed');
  }

  /**
   * Begins now, has written, and ends a while after the fence was wanted. If that has not waited for it, not before the move
   * is over: as long as the stream of the copy is there, it would bring even what was committed after the switch.
   */
  async #longTransaction({
    shard,
    holdMs = DEFAULT_HOLD_MS,
    isAlone = false,
    isPrepared = false,
  }: LongTransaction): Promise<void> {
    const caller = this.#director.caller();
    const client = new pg.Client({ connectionString: this.#world.server(shard).url });
    client.on('error', () => {});
    const pending = await this.#beginLong(client, caller, isAlone);
    if (pending === undefined) {
      await client.end().catch(() => {});
      return;
    }
    const { operation, version } = pending;
    try {
      const id = `torture-${operation.op}`;
      if (isPrepared) await client.query(`PREPARE TRANSACTION '${id}'`);
      await this.#stage.until(['fencing', 'over'], 60_000);
      await this.#stage.until(['over'], holdMs);
      await client.query(isPrepared ? `COMMIT PREPARED '${id}'` : 'COMMIT');
      operation.ok({ version });
    } catch (error) {
      operation.threw(error);
    }
    await client.end().catch(() => {});
  }

  /** @returns undefined if another fault has the server down. */
  async #beginLong(client: pg.Client, caller: RecordedCaller, isAlone: boolean) {
    try {
      await client.connect();
    } catch {
      return undefined;
    }
    for (let tries = 0; tries < POPULATION; tries += 1) {
      const key = isAlone ? this.#nextKey++ : Math.floor(this.#random() * POPULATION);
      const kind = isAlone ? ('insert' as const) : ('update' as const);
      const value = this.#director.uniqueValue();
      const operation = caller.begin({ kind, key: String(key), value });
      try {
        await client.query('BEGIN');
        const { rows } = await client.query(
          isAlone ? INSERT : UPDATE,
          isAlone ? [key, value, operation.op] : [key, value, operation.op, false],
        );
        if (rows[0] !== undefined) return { operation, version: Number(rows[0].version) };
        await client.query('ROLLBACK');
        operation.fail({ error: 'NOT_HERE' });
      } catch (error) {
        operation.threw(error);
        const isBack = await client.query('ROLLBACK').then(
          () => true,
          () => false,
        );
        if (!isBack) return undefined;
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
          await this.#world
            .server(shard)
            .query(
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
    const server = name === 'catalog' ? this.#world.catalog : this.#world.server(name);
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
    for (const name of await readdir(this.#stage.folder)) {
      if (!/^(worker|foreign)/.test(name)) continue;
      const text = await readFile(join(this.#stage.folder, name), 'utf8');
      count += text.match(/"outcome":"info"/g)?.length ?? 0;
    }
    return count;
  }

  /** Shards that take part in a move take part in no other: whoever wants them is told so, and nothing begins. */
  async #rival(change: PlacementChange): Promise<void> {
    const name = `rival-${this.#rivals}`;
    this.#rivals += 1;
    for (;;) {
      const rival = this.#stage.startMover(name, change);
      await rival.gone;
      const error = rival.lines.find((line) => line.startsWith('error')) ?? '';
      // Somebody else's switch came between its plan and its beginning.
      if (error.includes('PLAN_STALE')) continue;
      const code = error.split(' ')[1] ?? 'none';
      this.#director.event(code === 'SHARD_BUSY' ? 'rival-refused' : 'rival-not-refused', {
        detail: { code },
      });
      return;
    }
  }

  async #stallApply(shard: string): Promise<void> {
    const client = new pg.Client({ connectionString: this.#world.server(shard).url });
    await client.connect();
    await this.#stage.until(['fencing', 'over'], 60_000);
    await client.query('BEGIN; LOCK TABLE register IN EXCLUSIVE MODE');
    await this.#stage.until(['reversing', 'over'], STALL_MS);
    await client.query('ROLLBACK');
    await client.end();
  }

  async #disableGuard(shard: string): Promise<void> {
    for (const table of ['register', 'ledger', 'scrap']) {
      await this.#world
        .server(shard)
        .query(`ALTER TABLE ${table} DISABLE TRIGGER "~shardline_guard"`);
    }
  }
}
