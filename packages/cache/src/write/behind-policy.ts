import {
  type ConfigurationFault,
  type Duration,
  durationOption,
  integerOption,
} from '@shardline/core';
import * as v from 'valibot';

/** A write that the source did not take, or is not known to have taken. */
export interface UnwrittenWrite {
  readonly namespace: string;
  readonly key: string;
  readonly value: unknown;
  /** `failed`: given up. `under way`: cut off by `close`, the outcome unknown. `waiting`: never begun. */
  readonly state: 'failed' | 'under way' | 'waiting';
  readonly attempts: number;
  readonly lastError: unknown;
}

/** What a flush came to. */
export interface FlushReport {
  readonly written: number;
  readonly unwritten: readonly UnwrittenWrite[];
}

/** Writes many values to their source in one go: all of them, or it throws. */
export type StoreMany<Value> = (
  entries: readonly { readonly key: string; readonly value: Value }[],
  context: { readonly signal: AbortSignal },
) => Promise<void> | void;

/** How a namespace with `write: 'behind'` writes. */
export interface WriteBehindOptions<Value> {
  /**
   * Told of every write that the source did not take: given up after `attempts`, or left over when the
   * cache was closed. Required, since these values are nowhere else.
   */
  readonly onUnwritten: (write: UnwrittenWrite) => void;
  /** Writes a whole batch; without it `store` is called for each key, all of a batch at once. */
  readonly storeMany?: StoreMany<Value> | undefined;
  /** How long a write waits for others to go with it. @default '50ms' */
  readonly interval?: Duration | undefined;
  /** Most writes in one batch; as many that wait are written at once. @default 100 */
  readonly batch?: number | undefined;
  /** Most writes in the buffer. @default 10_000 */
  readonly maxPending?: number | undefined;
  /**
   * Most memory that the writes in the buffer take, estimated in bytes; those who wait for a place may hold as much
   * again. @default 64 MiB
   */
  readonly maxPendingBytes?: number | undefined;
  /** A full buffer refuses (`CACHE_WRITE_BEHIND_FULL`), or lets `set` wait for a place. @default 'reject' */
  readonly whenFull?: 'reject' | 'wait' | undefined;
  /** Longest wait for a place. @default '5s' */
  readonly fullWait?: Duration | undefined;
  /** How often a write is tried before it is given up, from 100 ms to 30 s apart. @default 10 */
  readonly attempts?: number | undefined;
}

/** The same with every default filled in. */
export interface BehindPolicy {
  readonly onUnwritten: (write: UnwrittenWrite) => void;
  readonly storeMany: StoreMany<unknown> | undefined;
  readonly intervalMs: number;
  readonly batch: number;
  readonly maxPending: number;
  readonly maxPendingBytes: number;
  readonly whenFull: 'reject' | 'wait';
  readonly fullWaitMs: number;
  readonly attempts: number;
}

const anyFunction = v.custom<(...args: never[]) => unknown>(
  (value) => typeof value === 'function',
  'must be a function',
);

export const behindSchema = v.strictObject({
  onUnwritten: anyFunction,
  storeMany: v.optional(anyFunction),
  interval: v.optional(durationOption({ max: '1h' }), '50ms'),
  batch: v.optional(integerOption(1, 100_000), 100),
  maxPending: v.optional(integerOption(1, 10_000_000), 10_000),
  maxPendingBytes: v.optional(integerOption(1024), 64 * 1024 * 1024),
  whenFull: v.optional(v.picklist(['reject', 'wait']), 'reject'),
  fullWait: v.optional(durationOption({ min: '1ms', max: '10m' }), '5s'),
  attempts: v.optional(integerOption(1, 1_000_000), 10),
});

type CheckedBehind = v.InferOutput<typeof behindSchema>;

export function behindPolicyOf<Value>(
  checked: CheckedBehind,
  options: WriteBehindOptions<Value>,
): BehindPolicy {
  return {
    onUnwritten: options.onUnwritten,
    storeMany: options.storeMany as StoreMany<unknown> | undefined,
    intervalMs: checked.interval,
    batch: checked.batch,
    maxPending: checked.maxPending,
    maxPendingBytes: checked.maxPendingBytes,
    whenFull: checked.whenFull,
    fullWaitMs: checked.fullWait,
    attempts: checked.attempts,
  };
}

/** What is missing, or there without use, for the write mode. */
export function behindFaults(options: {
  readonly write: string;
  readonly store?: unknown;
  readonly writeBehind?: CheckedBehind | undefined;
}): ConfigurationFault[] {
  const { write, store, writeBehind } = options;
  if (write !== 'behind') {
    const message = `is given, but write is '${write}': set write to 'behind'`;
    return writeBehind === undefined ? [] : [{ path: 'writeBehind', message }];
  }
  if (writeBehind === undefined) {
    const message = "is missing: write 'behind' needs an `onUnwritten` that hears of lost writes";
    return [{ path: 'writeBehind', message }];
  }
  if (store !== undefined || writeBehind.storeMany !== undefined) return [];
  const message = "is missing: write 'behind' needs it, or `writeBehind.storeMany`";
  return [{ path: 'store', message }];
}
