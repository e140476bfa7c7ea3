import type { Topology } from '@shardline/testkit';
import type { BettingLayer } from '../layer.js';
import type { BettingServers } from '../servers.js';
import type { HttpClient } from './http-client.js';
import type { Load } from './load.js';
import type { Progress } from './progress.js';
import type { DemoSizes } from './sizes.js';

/** What every act finds: servers, the service's processes under load, and a look at the rows beside it. */
export interface Stage {
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly sizes: DemoSizes;
  readonly topology: Topology;
  readonly servers: BettingServers;
  /** Of the service's processes. */
  readonly urls: readonly string[];
  readonly client: HttpClient;
  readonly load: Load;
  /** The demo's own, to look at rows past every cache. */
  readonly layer: BettingLayer;
}

/** Something that must hold, or a figure to reach; and what was seen. */
export interface Finding {
  /** `P1` to `P7`, or `target`. */
  readonly of: 'P1' | 'P2' | 'P3' | 'P4' | 'P5' | 'P6' | 'P7' | 'target';
  readonly what: string;
  readonly seen: string;
  readonly holds: boolean;
}

/** One act: what it does, and what it found. */
export interface Act {
  readonly name: string;
  readonly title: string;
  run(stage: Stage): Promise<readonly Finding[]>;
}
