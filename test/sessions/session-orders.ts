import type { ReplicaPoolOptions } from '@shardline/pool';
import type { Parcel, WorkloadCounts } from './workload.js';

/** One workload, as all processes are told of it. */
export interface SessionPlan {
  /** Of the history, which has one file per process. */
  readonly folder: string;
  readonly name: string;
  readonly seed: number;
  readonly keys: number;
  /** In each process. */
  readonly callers: number;
  readonly deadlineMs: number;
}

/** What a process is made with. */
export interface SessionProcessOptions {
  readonly process: string;
  readonly pool: ReplicaPoolOptions;
}

/** What a process is told. */
export type SessionOrder =
  | { readonly order: 'begin'; readonly plan: SessionPlan }
  | { readonly order: 'stop' }
  | { readonly order: 'end' }
  | { readonly order: 'take'; readonly parcel: Parcel };

/** What a process tells. */
export type SessionReport =
  | { readonly report: 'ready' }
  | { readonly report: 'counts'; readonly counts: WorkloadCounts }
  | { readonly report: 'give'; readonly parcel: Parcel }
  | { readonly report: 'stopped'; readonly counts: WorkloadCounts; readonly path: string };
