import { checkOptions, type Duration, durationOption, integerOption } from '@shardline/core';
import * as v from 'valibot';

/** By which column rows are merged. */
export interface OrderTerm {
  readonly column: string;
  /** @default 'asc' */
  readonly direction?: 'asc' | 'desc';
  /** @default 'last' when ascending, 'first' when descending, as in PostgreSQL */
  readonly nulls?: 'first' | 'last';
  /** Needed for texts: the order of bytes, in which alone two servers are sure to agree. */
  readonly collation?: 'C';
}

/** A total over all shards: of rows, or of a column of the statement. */
export type Aggregate =
  | 'count'
  | { readonly count: string }
  | { readonly sum: string }
  | { readonly avg: string }
  | { readonly min: string; readonly collation?: 'C' }
  | { readonly max: string; readonly collation?: 'C' };

/** How a statement is spread over all shards and its rows brought together. */
export interface ScatterOptions {
  /** Columns of the result by which rows are merged; pushed down to each shard. */
  readonly orderBy?: readonly (string | OrderTerm)[];
  /** Most rows to return; pushed down. */
  readonly limit?: number;
  /** Rows to skip. @default 0 */
  readonly offset?: number;
  /** Totals by name, computed on the shards and merged. */
  readonly aggregate?: Readonly<Record<string, Aggregate>>;
  /** Columns that group the totals. */
  readonly groupBy?: readonly string[];
  /** Shards that work at a time. @default 16 */
  readonly concurrency?: number;
  /** What one shard may take for its first answer and between batches. @default '30s' */
  readonly shardTimeout?: Duration;
  /** `fail`: one failed shard fails all. `report`: rows of the others, and the failure in `failures`. @default 'fail' */
  readonly partial?: 'fail' | 'report';
  /** Rows fetched from a shard at a time; memory is at most two such batches per shard. @default 500 */
  readonly batchRows?: number;
  /**
   * Accepts a statement whose own LIMIT, DISTINCT, GROUP BY or totals are meant shard by shard; its rows are
   * put together as they are. @default false
   */
  readonly perShard?: boolean;
  readonly signal?: AbortSignal;
}

/** With every default filled in. */
export interface FilledScatterOptions {
  readonly orderBy: readonly OrderTerm[];
  readonly limit: number | undefined;
  readonly offset: number;
  readonly aggregate: Readonly<Record<string, Aggregate>> | undefined;
  readonly groupBy: readonly string[];
  readonly concurrency: number;
  readonly shardTimeoutMs: number;
  readonly partial: 'fail' | 'report';
  readonly batchRows: number;
  readonly perShard: boolean;
  readonly signal: AbortSignal | undefined;
}

const collation = v.optional(v.literal('C'));

const orderTerm = v.union([
  v.pipe(
    v.string(),
    v.transform((column): OrderTerm => ({ column })),
  ),
  v.strictObject({
    column: v.string(),
    direction: v.optional(v.picklist(['asc', 'desc'])),
    nulls: v.optional(v.picklist(['first', 'last'])),
    collation,
  }),
]);

const aggregate = v.union([
  v.literal('count'),
  v.strictObject({ count: v.string() }),
  v.strictObject({ sum: v.string() }),
  v.strictObject({ avg: v.string() }),
  v.strictObject({ min: v.string(), collation }),
  v.strictObject({ max: v.string(), collation }),
]);

const scatterSchema = v.pipe(
  v.strictObject({
    orderBy: v.optional(v.array(orderTerm), []),
    limit: v.optional(integerOption(0)),
    offset: v.optional(integerOption(0), 0),
    aggregate: v.optional(v.record(v.string(), aggregate)),
    groupBy: v.optional(v.array(v.string()), []),
    concurrency: v.optional(integerOption(1, 4096), 16),
    shardTimeout: v.optional(durationOption({ min: '1ms' }), '30s'),
    partial: v.optional(v.picklist(['fail', 'report']), 'fail'),
    batchRows: v.optional(integerOption(1, 100_000), 500),
    perShard: v.optional(v.boolean(), false),
    signal: v.optional(v.instance(AbortSignal)),
  }),
  v.check(
    ({ groupBy, aggregate: totals }) => groupBy.length === 0 || totals !== undefined,
    '`groupBy` needs `aggregate`',
  ),
);

/** Checks the options of a scatter and fills in what is not given. @throws ShardlineError `CONFIG_INVALID`. */
export function fillScatterOptions(options: ScatterOptions): FilledScatterOptions {
  const { shardTimeout, ...checked } = checkOptions(scatterSchema, options, 'scatter');
  return { ...checked, shardTimeoutMs: shardTimeout } as FilledScatterOptions;
}
