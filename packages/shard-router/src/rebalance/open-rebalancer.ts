/**
 * Opens a rebalancer: the public face over journal, plan and coordinator.
 */

import { randomUUID } from 'node:crypto';
import {
  abortedError,
  type Clock,
  ShardlineError,
  sleep,
  systemClock,
  withDeadline,
} from '@shardline/core';
import { routerErrors } from '../errors.js';
import { Keyspace } from '../keyspace.js';
import { analyze, type DistributionAnalysis } from '../placement/analyze.js';
import { installShard } from '../shard/install.js';
import {
  loadCatalog,
  migrateCatalog,
  newestRevision,
  unacknowledgedRouters,
} from '../topology/catalog.js';
import { migrateShard } from '../topology/ownership.js';
import { parseSlots } from '../topology/slot-set.js';
import type { Topology } from '../topology/topology.js';
import { beginPlan, endPlan, newId } from './begin-plan.js';
import { Coordinator, type RunOptions } from './coordinator.js';
import { copySchema } from './copy-schema.js';
import { describeMove, type MoveWay } from './describe-move.js';
import { describePlan } from './describe-plan.js';
import { examineServers } from './doctor.js';
import type { Finding } from './finding.js';
import { inForeignKeyOrder } from './foreign-key-order.js';
import { type JournalPool, JournalStore, type MoveRow, type MoveWish } from './journal-store.js';
import type { MeasureOptions } from './measure-slots.js';
import { measureTopology } from './measure-topology.js';
import type { MoveContext } from './move-context.js';
import { mayAbort, mayFollow } from './move-state.js';
import { moveStatus } from './move-status.js';
import type { MoverOptions } from './mover.js';
import type { PlacementChange } from './placement-change.js';
import type { RebalancePlan } from './plan.js';
import { planChange, type SlotMeasures } from './plan-change.js';
import { preflightMove, sortFindings } from './preflight.js';
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
import {
  type FilledRebalancerOptions,
  fillRebalancerOptions,
  type RebalancerOptions,
} from './rebalancer-options.js';
import { seedReferenceTables } from './reference-seed.js';
import { repairServers } from './repair.js';
import { checkSeal } from './seal.js';
import { ShardLink } from './shard-link.js';
import type { MoveStatus, MoveSteering, RebalanceStatus, RouterStatus } from './status.js';
import { findForeignRows, verifyMove } from './verify-rows.js';

/** Rows written within about this many of a server's newest transactions count as its heat. */
const HEAT_TRANSACTIONS = 1_000_000;

/** Longest wait for all routers to hear of a new shard: the longest lease, and a little. */
const KNOWN_TIMEOUT_MS = 11 * 60_000;
const KNOWN_POLL_MS = 50;

/** What a test may put in the place of the world. */
export interface RebalancerInternals {
  readonly clock?: Clock;
  readonly failpoint?: MoverOptions['failpoint'];
}

/**
 * Opens a rebalancer, and brings the catalog's schema up to date. Needs roles that own the tables and may create
 * publications, subscriptions and roles on every shard.
 *
 * @throws ShardlineError `CONFIG_INVALID` with every fault; `CATALOG_TOO_NEW`.
 *
 * @example
 * ```ts
 * import { openRebalancer } from '@shardline/shard-router/rebalance';
 *
 * await using rebalancer = await openRebalancer({
 *   catalog: { primary: 'postgres://owner@catalog/shardline' },
 *   shards: {
 *     a: { location: { primary: 'postgres://owner@db-1/betting' } },
 *     b: { location: { primary: 'postgres://owner@db-2/betting' } },
 *   },
 *   keyspaces: { users: { keyType: 'bigint', tables: { users: 'user_id' } } },
 * });
 * const plan = await rebalancer.plan({ kind: 'add', shard: 'b' });
 * await rebalancer.apply(plan);
 * ```
 */
export async function openRebalancer(
  options: RebalancerOptions,
  internals: RebalancerInternals = {},
): Promise<Rebalancer> {
  const filled = fillRebalancerOptions(options);
  const rebalancer = new PostgresRebalancer(filled, internals);
  try {
    await rebalancer.migrate();
    return rebalancer;
  } catch (error) {
    await rebalancer.close();
    throw error;
  }
}

class PostgresRebalancer implements Rebalancer {
  readonly #options: FilledRebalancerOptions;
  readonly #internals: RebalancerInternals;
  readonly #catalog: ShardLink;
  readonly #shards: ReadonlyMap<string, ShardLink>;
  readonly #store: JournalStore;
  readonly #coordinator: Coordinator;
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  constructor(options: FilledRebalancerOptions, internals: RebalancerInternals) {
    this.#options = options;
    this.#internals = internals;
    this.#catalog = new ShardLink('catalog', options.catalog);
    this.#shards = new Map(
      [...options.shards].map(([name, { location }]) => [name, new ShardLink(name, location)]),
    );
    this.#store = new JournalStore(this.#catalog as JournalPool, {
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
    await this.#catalog.withConnection((client) => migrateCatalog(client));
  }

  async plan(change: PlacementChange): Promise<RebalancePlan> {
    const topology = await this.#topology();
    // Only a split decides by what was measured; for the rest it is told, and a sample is enough.
    const options = change.kind === 'split' ? { heatTransactions: HEAT_TRANSACTIONS } : {};
    const names = [...topology.keyspaces.keys()];
    const measures = await this.#measure(topology, names, options);
    const confined = new Map(
      [...this.#options.keyspaces].flatMap(([name, { shards }]) =>
        shards === undefined ? [] : [[name, shards] as const],
      ),
    );
    return planChange(change, { id: newId(), nowMs: Date.now(), topology, measures, confined });
  }

  async check(plan: RebalancePlan): Promise<PlanCheck> {
    checkSeal(plan);
    const topology = await this.#topology();
    if ((await this.#store.ofPlan(plan.id)).length === 0 && topology.epoch !== plan.fromEpoch) {
      return { outcome: 'stale', planEpoch: plan.fromEpoch, epoch: topology.epoch };
    }
    if (plan.moves.length === 0) return { outcome: 'nothing-to-do' };
    const findings: Finding[] = [];
    for (const { keyspace, source, destination, slots } of plan.moves) {
      const definition = topology.keyspace(keyspace).keyspace;
      const context = await this.#context({
        keyspace,
        source,
        destination,
        slots: parseSlots(slots, definition.slots),
      });
      findings.push(...(await preflightMove(context, this.#preflight(source, destination))));
    }
    const all = sortFindings(unique(findings));
    const isBlocked = all.some(({ severity }) => severity === 'blocker');
    return { outcome: isBlocked ? 'blocked' : 'applicable', findings: all };
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
    const owning = await this.#owningShards();
    const joining = new Set(plan.moves.map(({ destination }) => destination));
    for (const name of owning) joining.delete(name);
    // Once the topology names a shard, routers write reference tables there: it must be ready before.
    for (const name of joining) await this.prepareShard(name, options);
    await this.#catalog.withConnection((client) =>
      beginPlan(client, this.#store, plan, options.holdCutOver === true),
    );
    for (const name of joining) {
      await this.prepareShard(name, options);
      await this.#seedOnceKnown(name, options);
    }
    const moves = await this.#store.ofPlan(plan.id);
    await this.#coordinator.runAll(
      moves.filter(({ isTidied }) => !isTidied),
      this.#run(options),
    );
    return this.#finishPlan(plan);
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
    // Whoever began may have died between the two comparisons of a joining shard's reference tables.
    const owning = await this.#owningShards();
    const joining = open.flatMap(({ wish, journal: { state, destination } }) =>
      wish === undefined && mayAbort(state) && !owning.has(destination) ? [destination] : [],
    );
    for (const name of new Set(joining)) await this.#seedOnceKnown(name, options);
    await this.#coordinator.runAll(
      open.filter(({ isTidied }) => !isTidied),
      this.#run(options),
    );
    const plans = [...new Set(open.map(({ plan }) => plan))];
    const reports = [];
    for (const id of plans) reports.push(await this.#finishPlan(await this.#loadPlan(id)));
    return {
      planId: plans.length === 1 ? plans[0] : undefined,
      moves: reports.flatMap(({ moves }) => moves),
      epoch: (await this.#topology()).epoch,
    };
  }

  async status(): Promise<RebalanceStatus> {
    return readStatus(this.#catalog, this.#store, this.#shards);
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
    if (options.move === undefined) return this.#findForeignRows();
    const row = await this.#resolve(options.move);
    const outcome = await verifyMove(await this.#contextOf(row), { signal: options.signal });
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
    return readRouters(this.#catalog.primary);
  }

  async repair(
    options: { readonly apply?: boolean } & WorkOptions = {},
  ): Promise<readonly RepairAction[]> {
    const [topology, open] = await Promise.all([this.#topology(), this.#store.open()]);
    const shards = topology.shards.map(({ name }) => this.#link(name));
    // A look changes nothing.
    if (options.apply === true) {
      for (const link of shards) await link.withConnection((client) => migrateShard(client));
    }
    return repairServers({
      catalog: this.#catalog,
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
    const topology = await this.#topology();
    return examineServers({
      catalog: { endpoint: this.#catalog },
      shards: [...this.#shards.values()].map((endpoint) => ({ endpoint })),
      keyspaces: [...this.#options.keyspaces].map(([name, { tables }]) => ({
        keyspace: new Keyspace(topology.keyspace(name).keyspace),
        tables,
      })),
      referenceTables: this.#options.referenceTables,
      provider: options.provider,
    });
  }

  async distribution(keyspace: string): Promise<DistributionAnalysis> {
    const topology = await this.#topology();
    const map = topology.keyspace(keyspace);
    const measures = await this.#measure(topology, [keyspace], {
      heatTransactions: HEAT_TRANSACTIONS,
    });
    const weights = new Map(topology.shards.map(({ name, weight }) => [name, weight]));
    return analyze(map.owners(), weights, measures.get(keyspace) ?? []);
  }

  async prepareShard(shard: string, options: WorkOptions = {}): Promise<void> {
    const link = this.#link(shard);
    const topology = await this.#topology();
    const model = this.#modelFor(topology, shard);
    if (model !== undefined) {
      const { keyspaces, referenceTables } = this.#options;
      const tables = [...[...keyspaces.values()].flatMap((one) => one.tables), ...referenceTables];
      await copySchema(model, link, tables);
      await seedReferenceTables(model, link, referenceTables, { signal: options.signal });
    }
    await link.withConnection((client) =>
      installShard(client, shard, topology, this.#options.keyspaces),
    );
  }

  async #owningShards(): Promise<ReadonlySet<string>> {
    const { keyspaces } = await this.#topology();
    return new Set([...keyspaces.values()].flatMap((keyspace) => keyspace.owningShards()));
  }

  /**
   * A router that did not know a new shard yet has written reference tables past it. Once every router has acknowledged the
   * topology that names the shard, or its lease has ended, what came in between is found by comparison.
   */
  async #seedOnceKnown(shard: string, { signal }: WorkOptions): Promise<void> {
    const topology = await this.#topology();
    const model = this.#modelFor(topology, shard);
    const { referenceTables } = this.#options;
    if (model === undefined || referenceTables.length === 0) return;
    const revision = await newestRevision(this.#catalog.primary);
    const doing = `Waiting until every router knows shard '${shard}'`;
    await withDeadline({ timeoutMs: KNOWN_TIMEOUT_MS, signal, doing }, async (stop) => {
      while ((await unacknowledgedRouters(this.#catalog.primary, revision)).length > 0) {
        await sleep(KNOWN_POLL_MS, { signal: stop, doing });
      }
    });
    const { epoch } = topology;
    await seedReferenceTables(model, this.#link(shard), referenceTables, { signal, epoch });
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    await this.#coordinator.idle();
    await Promise.all([this.#catalog, ...this.#shards.values()].map((link) => link.close()));
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
    await this.#finishPlan(await this.#loadPlan(row.plan));
    return moveStatus(settled);
  }

  async #finishPlan(plan: RebalancePlan): Promise<RebalanceReport> {
    const moves = await this.#store.ofPlan(plan.id);
    const isSwitched = ({ journal }: MoveRow) =>
      ['reversing', 'cleaning', 'done'].includes(journal.state);
    if (moves.every(isSwitched)) {
      const isOver = moves.every(({ isTidied }) => isTidied);
      await this.#catalog.withConnection((client) => endPlan(client, plan, isOver));
    }
    return {
      planId: plan.id,
      moves: moves.map((row) => moveStatus(row)),
      epoch: (await this.#topology()).epoch,
    };
  }

  async #findForeignRows(): Promise<VerifyReport> {
    const topology = await this.#topology();
    const foreignRows = [];
    for (const [name, { tables }] of this.#options.keyspaces) {
      const keyspace = topology.keyspace(name);
      for (const { name: shard } of topology.shards) {
        const link = this.#shards.get(shard);
        if (link === undefined) continue;
        const mayBeHere = [...keyspace.slotsOf(shard), ...keyspace.transitSlots(shard)];
        foreignRows.push(
          ...(await findForeignRows(link, new Keyspace(keyspace.keyspace), tables, mayBeHere)),
        );
      }
    }
    return {
      moveId: undefined,
      slotsCompared: 0,
      rowsCompared: 0,
      differences: [],
      foreignRows,
      isComplete: true,
    };
  }

  async #resolve(move: string): Promise<MoveRow> {
    const row = move === 'last' ? await this.#store.newest() : await this.#store.load(move);
    if (row !== undefined) return row;
    throw new ShardlineError(routerErrors.MOVE_UNKNOWN, 'There is no move yet.');
  }

  async #loadPlan(id: string): Promise<RebalancePlan> {
    const { rows } = await this.#catalog.query<{ body: RebalancePlan }>(
      'SELECT body FROM shardline.plan WHERE id = $1',
      [id],
    );
    return (rows[0] as { body: RebalancePlan }).body;
  }

  async #moverOptions(
    row: MoveRow,
  ): Promise<Omit<MoverOptions, 'signal' | 'leaveOpen' | 'onProgress'>> {
    const { source, destination } = row.journal;
    const links = { source: this.#link(source), destination: this.#link(destination) };
    for (const link of Object.values(links)) {
      await link.withConnection((client) => migrateShard(client));
    }
    return {
      store: this.#store,
      catalog: this.#catalog,
      ...links,
      context: await this.#contextOf(row),
      peers: this.#preflight(source, destination).peers,
      referenceTables: this.#options.referenceTables,
      limits: this.#options.limits,
      clock: this.#internals.clock ?? systemClock,
      loadTopology: () => this.#topology(),
      failpoint: this.#internals.failpoint,
    };
  }

  #contextOf({ keyspace, journal, slots }: MoveRow): Promise<MoveContext> {
    const { source, destination } = journal;
    return this.#context({ keyspace, source, destination, slots });
  }

  async #context(move: {
    readonly keyspace: string;
    readonly source: string;
    readonly destination: string;
    readonly slots: readonly number[];
  }): Promise<MoveContext> {
    const topology = await this.#topology();
    const source = this.#link(move.source);
    const tables = this.#options.keyspaces.get(move.keyspace)?.tables ?? [];
    return {
      keyspace: new Keyspace(topology.keyspace(move.keyspace).keyspace),
      tables: await inForeignKeyOrder(source, tables),
      slots: move.slots,
      source,
      destination: this.#link(move.destination),
    };
  }

  #preflight(source: string, destination: string) {
    const addressOf = (shard: string) => this.#options.shards.get(shard)?.peerAddress ?? '';
    return {
      reverse: true as const,
      peers: { source: addressOf(source), destination: addressOf(destination) },
      referenceTables: this.#options.referenceTables,
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
    return measureTopology(topology, names, (name) => this.#link(name), this.#options, options);
  }

  /** A shard that has rows already, of which a new one gets schema and reference tables. */
  #modelFor(topology: Topology, shard: string): ShardLink | undefined {
    const owning = [...topology.keyspaces.values()].flatMap((keyspace) => keyspace.owningShards());
    const name = owning.find((other) => other !== shard && this.#shards.has(other));
    return name === undefined || owning.includes(shard) ? undefined : this.#shards.get(name);
  }

  #link(shard: string): ShardLink {
    const link = this.#shards.get(shard);
    if (link !== undefined) return link;
    throw new ShardlineError(
      routerErrors.SHARD_MISSING,
      `The rebalancer has no settings for shard '${shard}'.`,
      { details: { shard } },
    );
  }

  async #topology(): Promise<Topology> {
    const state = await this.#catalog.withConnection((client) => loadCatalog(client));
    if (state !== undefined) return state.topology;
    throw new ShardlineError(routerErrors.CATALOG_MISSING, 'The catalog holds no topology yet.', {
      remedy: 'Publish the first one with `bootstrap`.',
    });
  }
}

function unique(findings: readonly Finding[]): Finding[] {
  const keyOf = ({ code, shard, subject, message }: Finding) =>
    `${code}\0${shard}\0${subject}\0${message}`;
  return [...new Map(findings.map((finding) => [keyOf(finding), finding])).values()];
}
