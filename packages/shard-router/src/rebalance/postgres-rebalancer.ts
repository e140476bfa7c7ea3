/** The rebalancer: the public face over journal, plan and coordinator. */

import { randomUUID } from 'node:crypto';
import { abortedError, type Clock, ShardlineError, systemClock } from '@shardline/core';
import { routerErrors } from '../errors.js';
import { Keyspace } from '../keyspace.js';
import { analyze, type DistributionAnalysis } from '../placement/analyze.js';
import { migrateCatalog } from '../topology/catalog.js';
import { migrateShard } from '../topology/ownership.js';
import type { Topology } from '../topology/topology.js';
import { beginPlan, newId } from './begin-plan.js';
import { checkPlan } from './check-plan.js';
import { Coordinator, type RunOptions } from './coordinator.js';
import { describeMove, type MoveWay } from './describe-move.js';
import { describePlan } from './describe-plan.js';
import { examineServers } from './doctor.js';
import { findMisplacedRows } from './find-misplaced.js';
import type { Finding } from './finding.js';
import { finishPlan, loadPlan } from './finish-plan.js';
import { prepareShard, refuseOlderRouters, seedOnceKnown } from './join-shard.js';
import { type JournalPool, JournalStore } from './journal-store.js';
import type { MeasureOptions } from './measure-slots.js';
import { measureTopology } from './measure-topology.js';
import type { MoveRow, MoveWish } from './move-row.js';
import { type MoveState, mayAbort, mayFollow } from './move-state.js';
import { moveStatus } from './move-status.js';
import { contextOfRow, preflightOptions } from './move-surroundings.js';
import type { MoverOptions } from './mover-options.js';
import type { PlacementChange } from './placement-change.js';
import type { RebalancePlan } from './plan.js';
import { planChange, type SlotMeasures } from './plan-change.js';
import { readRouters, readStatus } from './read-status.js';
import type {
  ApplyOptions,
  PlanCheck,
  PlannedStep,
  RebalanceReport,
  Rebalancer,
  RepairAction,
  VerifyReport,
  WorkOptions,
} from './rebalancer.js';
import type { FilledRebalancerOptions } from './rebalancer-options.js';
import { owningShards, RebalancerServers } from './rebalancer-servers.js';
import { repairServers } from './repair.js';
import { checkSeal } from './seal.js';
import type { MoveStatus, MoveSteering, RebalanceStatus, RouterStatus } from './status.js';
import { verifyMove } from './verify-rows.js';

/** Rows written within about this many of a server's newest transactions count as its heat. */
const HEAT_TRANSACTIONS = 1_000_000;

/** Of a move in these, nothing is on the shards but its record. */
const UNTOUCHED: readonly MoveState[] = ['planned', 'preflight', 'prepared'];

/** What a test may put in the place of the world. */
export interface RebalancerInternals {
  readonly clock?: Clock;
  readonly failpoint?: MoverOptions['failpoint'];
}

/** One that works on PostgreSQL's own replication. */
export class PostgresRebalancer implements Rebalancer {
  readonly #options: FilledRebalancerOptions;
  readonly #internals: RebalancerInternals;
  readonly #servers: RebalancerServers;
  readonly #store: JournalStore;
  readonly #coordinator: Coordinator;
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  constructor(options: FilledRebalancerOptions, internals: RebalancerInternals) {
    this.#options = options;
    this.#internals = internals;
    this.#servers = new RebalancerServers(options);
    this.#store = new JournalStore(this.#servers.catalog as JournalPool, {
      token: randomUUID(),
      name: options.name,
      leaseMs: options.leaseMs,
    });
    this.#coordinator = new Coordinator({
      store: this.#store,
      parallelMoves: options.limits.parallelMoves,
      clock: internals.clock ?? systemClock,
      moverOptions: (row) => this.#moverOptions(row),
    });
  }

  /** @internal */
  async migrate(): Promise<void> {
    await this.#servers.catalog.withConnection((client) => migrateCatalog(client));
  }

  async plan(change: PlacementChange): Promise<RebalancePlan> {
    const topology = await this.#servers.topology();
    // Only a split decides by what was measured; for the rest it is told, and a sample is enough.
    const options = change.kind === 'split' ? { heatTransactions: HEAT_TRANSACTIONS } : {};
    const names = [...topology.keyspaces.keys()];
    const measures = await this.#measure(topology, names, options);
    const confined = new Map(
      [...this.#options.keyspaces].flatMap(([name, { shards }]) =>
        shards === undefined ? [] : [[name, shards] as const],
      ),
    );
    const { moveBytes } = this.#options.limits;
    return planChange(change, {
      id: newId(),
      nowMs: Date.now(),
      topology,
      measures,
      moveBytes,
      confined,
    });
  }

  async check(plan: RebalancePlan): Promise<PlanCheck> {
    checkSeal(plan);
    return checkPlan(this.#servers, this.#options, this.#store, plan);
  }

  async describe(plan: RebalancePlan): Promise<readonly PlannedStep[]> {
    checkSeal(plan);
    return describePlan(plan, this.#options);
  }

  async describeMove(move: string, way: MoveWay): Promise<readonly PlannedStep[]> {
    return describeMove(moveStatus(await this.#resolve(move)), way, this.#options);
  }

  async apply(plan: RebalancePlan, options: ApplyOptions = {}): Promise<RebalanceReport> {
    checkSeal(plan);
    const owning = owningShards(await this.#servers.topology());
    const joining = new Set(plan.moves.map(({ destination }) => destination));
    for (const name of owning) joining.delete(name);
    // Once the topology names a shard, routers write reference tables there: it must be ready before.
    for (const name of joining) await this.prepareShard(name, options);
    await this.#servers.catalog.withConnection((client) =>
      beginPlan(client, this.#store, plan, options.holdCutOver === true),
    );
    if (joining.size > 0) await refuseOlderRouters(this.#servers);
    for (const name of joining) {
      await this.prepareShard(name, options);
      await seedOnceKnown(this.#servers, this.#options, name, options);
    }
    const moves = await this.#store.ofPlan(plan.id);
    await this.#coordinator.runAll(
      moves.filter(({ isTidied }) => !isTidied),
      this.#run(options),
    );
    return finishPlan(this.#servers, this.#store, plan);
  }

  async resume(options: ApplyOptions & { readonly move?: string } = {}): Promise<RebalanceReport> {
    const open =
      options.move === undefined
        ? await this.#store.open()
        : [await this.#store.load((await this.#resolve(options.move)).id)];
    if (options.holdCutOver !== undefined) {
      for (const { id } of open) {
        await this.#store.ask(id, { isCutOverHeld: options.holdCutOver });
      }
    }
    await this.#goOnJoining(open, options);
    await this.#coordinator.runAll(
      open.filter(({ isTidied }) => !isTidied),
      this.#run(options),
    );
    const plans = [...new Set(open.map(({ plan }) => plan))];
    const reports = [];
    for (const id of plans) reports.push(await this.#finishPlan(id));
    return {
      planId: plans.length === 1 ? plans[0] : undefined,
      moves: reports.flatMap(({ moves }) => moves),
      epoch: (await this.#servers.topology()).epoch,
    };
  }

  /** Whoever began may have died while a shard joined: between the two copies of its schema, or of reference tables. */
  async #goOnJoining(open: readonly MoveRow[], options: WorkOptions): Promise<void> {
    const owning = owningShards(await this.#servers.topology());
    const joining = open.filter(
      ({ wish, journal: { state, destination } }) =>
        wish === undefined && mayAbort(state) && !owning.has(destination),
    );
    if (joining.length > 0) await refuseOlderRouters(this.#servers);
    for (const name of new Set(joining.map(({ journal }) => journal.destination))) {
      // Once rows are copied, indexes may be missing there for a time.
      const isEmpty = joining.every(
        ({ journal }) => journal.destination !== name || UNTOUCHED.includes(journal.state),
      );
      if (isEmpty) await this.prepareShard(name, options);
      await seedOnceKnown(this.#servers, this.#options, name, options);
    }
  }

  async status(): Promise<RebalanceStatus> {
    const { catalog, shards } = this.#servers;
    return readStatus(catalog, this.#store, shards);
  }

  async move(id: string): Promise<MoveStatus | undefined> {
    const row =
      id === 'last'
        ? await this.#store.newest()
        : await this.#store.load(id).catch((error: unknown) => {
            if ((error as { code?: string }).code === 'MOVE_UNKNOWN') return undefined;
            throw error;
          });
    return row === undefined ? undefined : moveStatus(row);
  }

  async steer(move: string, steering: Partial<MoveSteering>): Promise<MoveStatus> {
    const { id } = await this.#resolve(move);
    return moveStatus(await this.#store.ask(id, steering));
  }

  async abort(move: string, options: WorkOptions = {}): Promise<MoveStatus> {
    return this.#wish(move, 'abort', options, ({ journal }) => mayAbort(journal.state));
  }

  async rollback(move: string, options: WorkOptions = {}): Promise<MoveStatus> {
    return this.#wish(
      move,
      'roll-back',
      options,
      ({ journal }) =>
        mayFollow(journal.state, 'rollback_fencing') || journal.state === 'committed',
    );
  }

  async finish(move: string, options: WorkOptions = {}): Promise<MoveStatus> {
    return this.#wish(
      move,
      'finish',
      options,
      ({ journal }) => mayFollow(journal.state, 'cleaning') || journal.state === 'committed',
    );
  }

  async verify(options: WorkOptions & { readonly move?: string } = {}): Promise<VerifyReport> {
    if (options.move === undefined) {
      const { keyspaces } = this.#options;
      return findMisplacedRows(await this.#servers.topology(), keyspaces, this.#servers.shards);
    }
    const row = await this.#resolve(options.move);
    const outcome = await verifyMove(await contextOfRow(this.#servers, this.#options, row), {
      signal: options.signal,
    });
    return {
      moveId: row.id,
      slotsCompared: outcome.slotsCompared,
      rowsCompared: outcome.rowsCompared,
      differences: outcome.differences,
      foreignRows: [],
      isComplete: outcome.slotsCompared === row.slots.length,
    };
  }

  async routers(): Promise<readonly RouterStatus[]> {
    return readRouters(this.#servers.catalog.primary);
  }

  async repair(
    options: { readonly apply?: boolean } & WorkOptions = {},
  ): Promise<readonly RepairAction[]> {
    const [topology, open] = await Promise.all([this.#servers.topology(), this.#store.open()]);
    const shards = topology.shards.map(({ name }) => this.#servers.shard(name));
    // A look changes nothing.
    if (options.apply === true) {
      for (const link of shards) await link.withConnection((client) => migrateShard(client));
    }
    return repairServers({
      catalog: this.#servers.catalog,
      shards,
      topology,
      keyspaces: this.#options.keyspaces,
      openMoves: new Set(open.map(({ id }) => id)),
      busyShards: new Set(open.flatMap(({ journal }) => [journal.source, journal.destination])),
      apply: options.apply === true,
      checkpoint: () => {
        if (options.signal?.aborted) throw abortedError('Repairing', options.signal.reason);
      },
    });
  }

  async doctor(options: { readonly provider?: string } = {}): Promise<readonly Finding[]> {
    const topology = await this.#servers.topology();
    return examineServers({
      catalog: { endpoint: this.#servers.catalog },
      shards: [...this.#servers.shards.values()].map((endpoint) => ({
        endpoint,
        isOnMap: topology.shards.some(({ name }) => name === endpoint.name),
      })),
      keyspaces: [...this.#options.keyspaces].map(([name, { tables }]) => ({
        keyspace: new Keyspace(topology.keyspace(name).keyspace),
        tables,
      })),
      referenceTables: this.#options.referenceTables,
      provider: options.provider,
    });
  }

  async distribution(keyspace: string): Promise<DistributionAnalysis> {
    const topology = await this.#servers.topology();
    const map = topology.keyspace(keyspace);
    const measures = await this.#measure(topology, [keyspace], {
      heatTransactions: HEAT_TRANSACTIONS,
    });
    const weights = new Map(topology.shards.map(({ name, weight }) => [name, weight]));
    return analyze(map.owners(), weights, measures.get(keyspace) ?? []);
  }

  prepareShard(shard: string, options: WorkOptions = {}): Promise<void> {
    return prepareShard(this.#servers, this.#options, shard, options);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    await this.#coordinator.idle();
    await this.#servers.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #wish(
    move: string,
    wish: MoveWish,
    options: WorkOptions,
    isPossible: (row: MoveRow) => boolean,
  ): Promise<MoveStatus> {
    const row = await this.#resolve(move);
    if (row.wish !== wish && !isPossible(row)) {
      throw new ShardlineError(
        routerErrors.MOVE_STATE,
        `Move '${row.id}' is ${row.journal.state}; '${wish}' is not possible there.`,
        { details: { move: row.id, state: row.journal.state } },
      );
    }
    await this.#store.ask(row.id, { wish });
    const settled = await this.#coordinator.settle(row.id, this.#run(options));
    // It may have been the last that its plan waited for.
    await this.#finishPlan(row.plan);
    return moveStatus(settled);
  }

  async #finishPlan(id: string): Promise<RebalanceReport> {
    return finishPlan(this.#servers, this.#store, await loadPlan(this.#servers, id));
  }

  async #resolve(move: string): Promise<MoveRow> {
    const row = move === 'last' ? await this.#store.newest() : await this.#store.load(move);
    if (row !== undefined) return row;
    throw new ShardlineError(routerErrors.MOVE_UNKNOWN, 'There is no move yet.');
  }

  async #moverOptions(
    row: MoveRow,
  ): Promise<Omit<MoverOptions, 'signal' | 'leaveOpen' | 'onProgress'>> {
    const { source, destination } = row.journal;
    const links = {
      source: this.#servers.shard(source),
      destination: this.#servers.shard(destination),
    };
    for (const link of Object.values(links)) {
      await link.withConnection((client) => migrateShard(client));
    }
    return {
      store: this.#store,
      catalog: this.#servers.catalog,
      ...links,
      context: await contextOfRow(this.#servers, this.#options, row),
      ...preflightOptions(this.#options, { source, destination }),
      limits: this.#options.limits,
      clock: this.#internals.clock ?? systemClock,
      loadTopology: () => this.#servers.topology(),
      failpoint: this.#internals.failpoint,
    };
  }

  #run({ signal, onProgress, leaveOpen = false }: ApplyOptions): RunOptions {
    const closing = this.#closing.signal;
    return {
      signal: signal === undefined ? closing : AbortSignal.any([signal, closing]),
      leaveOpen,
      onProgress: onProgress === undefined ? undefined : (row) => onProgress(moveStatus(row)),
    };
  }

  #measure(
    topology: Topology,
    names: readonly string[],
    options: MeasureOptions,
  ): Promise<SlotMeasures> {
    return measureTopology(
      topology,
      names,
      (name) => this.#servers.shard(name),
      this.#options,
      options,
    );
  }
}
