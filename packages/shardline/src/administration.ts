/**
 * What those who administer shards need beyond what services need: roles with more rights, how shards reach each
 * other, and how careful a move is. It stands in the same file, so that there is one truth about what the
 * shards are; services read past it.
 */

import { type Duration, durationOption, integerOption } from '@shardline/core';
import { PROVIDERS, type Provider } from '@shardline/shard-router';
import type { MoveLimits } from '@shardline/shard-router/rebalance';
import * as v from 'valibot';

/** How one shard is administered. */
export interface ShardAdministrationConfig {
  /** URL with a role that owns the tables and may replicate. @default the shard's `primary` */
  readonly primary?: string;
  /** How the other shards' servers reach this one: `host=… port=… dbname=…`. @default as in `primary` */
  readonly peerAddress?: string;
  /** Share of the slots relative to the other shards. @default 1 for a new shard, else as the catalog says */
  readonly weight?: number;
}

/** What the command line uses and services do not. */
export interface AdministrationConfig {
  /** URL of the catalog with a role that owns schema `shardline`. @default `catalog` of the data layer */
  readonly catalog?: string;
  /** By name of the shard. */
  readonly shards?: Readonly<Record<string, ShardAdministrationConfig>>;
  /** How long a move may wait and how careful it is. */
  readonly limits?: MoveLimits;
  /** How long a mover that does not answer keeps a move to itself. @default '10s' */
  readonly lease?: Duration;
  /** Who offers the servers; remedies are given in the provider's words. @default 'self-hosted' */
  readonly provider?: Provider;
}

const postgresUrl = v.pipe(
  v.string(),
  v.regex(/^postgres(ql)?:\/\//, 'must begin with postgres:// or postgresql://'),
);

const peerAddress = v.pipe(
  v.string(),
  v.regex(/^\s*([a-z_]+\s*=\s*\S+\s*)+$/, "must be written as 'host=… port=… dbname=…'"),
  v.check(
    (text) => !/\b(user|password|passfile)\s*=/.test(text),
    'must name no user and no password: each move makes a role of its own',
  ),
);

const limitsSchema = v.strictObject({
  lockTimeout: v.optional(durationOption({ min: '1ms', max: '1m' })),
  longTransactions: v.optional(v.picklist(['wait', 'terminate'], "must be 'wait' or 'terminate'")),
  terminateAfter: v.optional(durationOption({ min: '0s', max: '1d' })),
  pauseTimeout: v.optional(durationOption({ min: '10ms', max: '5m' })),
  switchLagBytes: v.optional(integerOption(0)),
  routersTimeout: v.optional(durationOption({ min: '1ms', max: '1d' })),
  rollbackWindow: v.optional(durationOption({ min: '0s', max: '30d' })),
  replicaLag: v.optional(durationOption({ min: '1ms', max: '1d' })),
  slotBytes: v.optional(integerOption(1)),
  moveBytes: v.optional(integerOption(1)),
  parallelMoves: v.optional(integerOption(1, 64)),
  cleanBatchRows: v.optional(integerOption(1, 1_000_000)),
  verify: v.optional(v.boolean()),
} satisfies Record<keyof MoveLimits, unknown>);

/** Checks the part of a configuration that is about administration. */
export const administrationSchema = v.strictObject({
  catalog: v.optional(postgresUrl),
  shards: v.optional(
    v.record(
      v.string(),
      v.strictObject({
        primary: v.optional(postgresUrl),
        peerAddress: v.optional(peerAddress),
        weight: v.optional(v.pipe(v.number(), v.finite(), v.minValue(0, 'must not be below zero'))),
      }),
    ),
    {},
  ),
  limits: v.optional(limitsSchema, {}),
  lease: v.optional(durationOption({ min: '100ms', max: '10m' })),
  provider: v.optional(
    v.picklist(PROVIDERS, `must be one of ${PROVIDERS.map((name) => `'${name}'`).join(', ')}`),
    'self-hosted',
  ),
});

/** The checked form of `AdministrationConfig`. */
export type ResolvedAdministration = v.InferOutput<typeof administrationSchema>;
