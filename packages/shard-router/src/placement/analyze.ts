/**
 * What the distribution looks like, and whether anything should be done about it.
 *
 * Plain data in, a verdict with reasons out: whoever measured the slots (a count per slot in SQL, bytes from
 * statistics, calls counted by the router) hands the figures over. A verdict is only as wide as its evidence:
 * dimensions that nobody measured are not judged.
 */

import type { SlotOwners } from './slot-map.js';

/** What was measured of one slot. */
export interface SlotMeasure {
  readonly slot: number;
  readonly rows: number;
  readonly bytes?: number;
  /** Calls per second, or any other measure of use that adds up. */
  readonly heat?: number;
}

/** Totals of one shard. */
export interface ShardLoad {
  readonly shard: string;
  readonly weight: number;
  readonly slots: number;
  readonly rows: number;
  readonly bytes: number | undefined;
  readonly heat: number | undefined;
}

/** The outcome of an analysis. */
export interface DistributionAnalysis {
  readonly shards: readonly ShardLoad[];
  /** Peak load divided by fair load, by weight; 1 is perfect. Undefined where nothing was measured. */
  readonly skew: {
    readonly slots: number;
    readonly rows: number | undefined;
    readonly bytes: number | undefined;
    readonly heat: number | undefined;
  };
  /** Slots that hold or draw far more than the average, hottest first. */
  readonly hotSlots: readonly {
    readonly slot: number;
    readonly shard: string;
    /** How many times the average slot. */
    readonly factor: number;
    readonly by: 'rows' | 'bytes' | 'heat';
  }[];
  readonly needsRebalancing: boolean;
  /** Why, or why not, in sentences. */
  readonly reasons: readonly string[];
}

/** Where the verdict turns. */
export interface AnalysisThresholds {
  /** Peak over fair load beyond which moving slots pays. @default 1.2 */
  readonly skew?: number;
  /** A slot this many times the average is hot. @default 8 */
  readonly hotSlot?: number;
  /** Most hot slots to list. @default 20 */
  readonly hotSlotLimit?: number;
}

const DEFAULTS = { skew: 1.2, hotSlot: 8, hotSlotLimit: 20 };

type Dimension = 'rows' | 'bytes' | 'heat';

/** Judges how slots, rows, bytes and use are spread over the shards. */
export function analyze(
  owners: SlotOwners,
  weights: ReadonlyMap<string, number>,
  measures: readonly SlotMeasure[],
  thresholds: AnalysisThresholds = {},
): DistributionAnalysis {
  const limits = { ...DEFAULTS, ...thresholds };
  const shards = shardLoads(owners, weights, measures);
  const skew = {
    slots: skewOf(shards, ({ slots }) => slots) ?? 1,
    rows: skewOf(shards, ({ rows }) => rows),
    bytes: skewOf(shards, ({ bytes }) => bytes),
    heat: skewOf(shards, ({ heat }) => heat),
  };
  const hotSlots = (['heat', 'bytes', 'rows'] as const)
    .flatMap((by) => hotSlotsBy(by, owners, measures, limits.hotSlot))
    .sort((a, b) => b.factor - a.factor || a.slot - b.slot)
    .slice(0, limits.hotSlotLimit);
  return { shards, skew, hotSlots, ...verdict(shards, skew, hotSlots, owners.length, limits.skew) };
}

function shardLoads(
  owners: SlotOwners,
  weights: ReadonlyMap<string, number>,
  measures: readonly SlotMeasure[],
): ShardLoad[] {
  const names = new Set([...weights.keys(), ...owners]);
  const loads = new Map(
    [...names].sort().map((shard) => [
      shard,
      {
        shard,
        weight: weights.get(shard) ?? 0,
        slots: 0,
        rows: 0,
        bytes: undefined as number | undefined,
        heat: undefined as number | undefined,
      },
    ]),
  );
  for (const owner of owners) (loads.get(owner) as { slots: number }).slots += 1;
  for (const { slot, rows, bytes, heat } of measures) {
    const load = loads.get(owners[slot] ?? '');
    if (load === undefined) continue;
    load.rows += rows;
    if (bytes !== undefined) load.bytes = (load.bytes ?? 0) + bytes;
    if (heat !== undefined) load.heat = (load.heat ?? 0) + heat;
  }
  return [...loads.values()];
}

function skewOf(
  shards: readonly ShardLoad[],
  measure: (load: ShardLoad) => number | undefined,
): number | undefined {
  const total = shards.reduce((sum, load) => sum + (measure(load) ?? 0), 0);
  const weight = shards.reduce((sum, load) => sum + load.weight, 0);
  if (total === 0 || weight === 0) return undefined;
  return Math.max(
    ...shards.map((load) => {
      const share = (measure(load) ?? 0) / total;
      // A shard without weight should hold nothing: whatever it holds is endlessly too much.
      return load.weight === 0
        ? share > 0
          ? Number.POSITIVE_INFINITY
          : 0
        : (share * weight) / load.weight;
    }),
  );
}

function hotSlotsBy(
  by: Dimension,
  owners: SlotOwners,
  measures: readonly SlotMeasure[],
  factor: number,
): DistributionAnalysis['hotSlots'][number][] {
  const total = measures.reduce((sum, measure) => sum + (measure[by] ?? 0), 0);
  const average = total / owners.length;
  if (average === 0) return [];
  return measures
    .filter((measure) => (measure[by] ?? 0) >= average * factor)
    .map((measure) => ({
      slot: measure.slot,
      shard: owners[measure.slot] as string,
      factor: (measure[by] as number) / average,
      by,
    }));
}

function verdict(
  shards: readonly ShardLoad[],
  skew: DistributionAnalysis['skew'],
  hotSlots: DistributionAnalysis['hotSlots'],
  slots: number,
  limit: number,
): Pick<DistributionAnalysis, 'needsRebalancing' | 'reasons'> {
  const reasons: string[] = [];
  const weight = shards.reduce((sum, load) => sum + load.weight, 0);
  for (const load of shards) {
    const fair = weight === 0 ? 0 : (slots * load.weight) / weight;
    if (Math.abs(load.slots - fair) >= 1) {
      reasons.push(
        `Shard '${load.shard}' owns ${load.slots} slots; its weight gives it ${fair.toFixed(1)}.`,
      );
    }
  }
  const slotsAreOff = reasons.length > 0;
  let loadIsOff = false;
  for (const dimension of ['rows', 'bytes', 'heat'] as const) {
    const value = skew[dimension];
    if (value === undefined || value <= limit) continue;
    const cause = hotSlots.find(({ by }) => by === dimension);
    reasons.push(
      `The fullest shard has ${value.toFixed(2)} times its fair share of ${dimension}${
        cause === undefined
          ? '.'
          : `; slot ${cause.slot} alone is ${cause.factor.toFixed(0)} times the average, and a single slot cannot be split.`
      }`,
    );
    loadIsOff = true;
  }
  if (reasons.length === 0) reasons.push('Every measured load is within its limits.');
  return { needsRebalancing: slotsAreOff || loadIsOff, reasons };
}
