/**
 * The world as the command sees it: streams, variables, clock, signals, and the doors of the libraries. Everything
 * that a test wants to see or to stand in for comes through here.
 */

import { hostname, userInfo } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import type { Router, RouterOptions } from '@shardline/shard-router';
import type { Rebalancer, RebalancerOptions } from '@shardline/shard-router/rebalance';
import type { DataLayerConfig } from 'shardline';

/** A stream that may be a terminal. */
export type OutputStream = Writable & { readonly isTTY?: boolean; readonly columns?: number };

/** What the command line stands on. */
export interface Host {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The folder that it was called in. */
  readonly folder: string;
  readonly input: Readable & { readonly isTTY?: boolean };
  readonly output: OutputStream;
  readonly errors: OutputStream;
  /** Who calls, for the journal. */
  readonly operator: string;
  now(): number;
  openRebalancer(options: RebalancerOptions): Promise<Rebalancer>;
  /** What the data layer itself keeps on a new shard. */
  prepareLayerShard(config: DataLayerConfig, shard: string): Promise<void>;
  openRouter(options: RouterOptions): Promise<Router>;
  /** Calls back for every Ctrl-C and SIGTERM. @returns ends it. */
  onInterrupt(listener: () => void): () => void;
  /** Leaves at once, whatever is under way. */
  leave(exitCode: number): void;
}

/** Who sits at this process, as far as the system says. */
export function operatorName(): string {
  try {
    return `${userInfo().username}@${hostname()} ${process.pid}`;
  } catch {
    // A container may run under a user id without a name.
    return `${hostname()} ${process.pid}`;
  }
}
