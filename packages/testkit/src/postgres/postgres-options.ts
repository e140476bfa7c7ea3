import { type Duration, durationFault } from '@shardline/core';
import * as v from 'valibot';
import { serverNameOption } from '../server/server-name.js';
import type { PostgresAuthentication, PostgresSettings } from './settings.js';

/** How a PostgreSQL is started. */
export interface PostgresOptions {
  /** For logs, folders and messages. @default 'postgres' */
  readonly name?: string;
  /** Major version. @default the embedded one: 18 */
  readonly version?: number;
  /** The database that `url` names; made if it is not `postgres`. @default 'postgres' */
  readonly database?: string;
  /** Settings of postgresql.conf, over the kit's. Replicas inherit them. */
  readonly settings?: PostgresSettings;
  /** Whether commits are forced to disk (fsync). Slower, and needed by no kill(). @default false */
  readonly durable?: boolean;
  /**
   * Whether users other than `postgres` need a password, as `password_required` subscriptions do.
   * @default 'trust'
   */
  readonly authentication?: PostgresAuthentication;
  /**
   * Whether it gets a system identifier of its own. Others are copies of one template and, to whoever
   * compares identifiers, one and the same cluster. Costs most of a second.
   * @default false
   */
  readonly ownIdentity?: boolean;
  /** Gives up a start that is under way. */
  readonly signal?: AbortSignal;
}

/** How a replica is added. */
export interface ReplicaOptions {
  /** Also its application_name and, with `_` for `-`, its slot's name. @default '<primary>-replica-<n>' */
  readonly name?: string;
  /** recovery_min_apply_delay: it shows every commit this much later. @default '0ms' */
  readonly applyDelay?: Duration;
  /** Whether commits on the primary wait for it. @default false */
  readonly synchronous?: boolean;
  /** Settings over those of the primary. */
  readonly settings?: PostgresSettings;
  /** Gives up a start that is under way. */
  readonly signal?: AbortSignal;
}

const duration = v.custom<Duration>(
  (value) => durationFault(value) === undefined,
  (issue) => durationFault(issue.input) ?? 'is no duration',
);

const settings = v.record(
  v.pipe(v.string(), v.regex(/^[a-z_][a-z0-9_.]*$/i, 'is no name of a setting')),
  v.union([v.string(), v.number(), v.boolean()]),
);

const signal = v.optional(v.instance(AbortSignal));

const version = v.pipe(v.number(), v.integer(), v.minValue(15), v.maxValue(99));

export const postgresOptionsSchema = v.strictObject({
  name: v.optional(serverNameOption, 'postgres'),
  version: v.optional(version),
  database: v.optional(v.pipe(v.string(), v.nonEmpty()), 'postgres'),
  settings: v.optional(settings, {}),
  durable: v.optional(v.boolean(), false),
  authentication: v.optional(v.picklist(['trust', 'scram-sha-256']), 'trust'),
  ownIdentity: v.optional(v.boolean(), false),
  signal,
});

export const replicaOptionsSchema = v.strictObject({
  name: v.optional(serverNameOption),
  applyDelay: v.optional(duration, '0ms'),
  synchronous: v.optional(v.boolean(), false),
  settings: v.optional(settings, {}),
  signal,
});
