import type { LeaseGrant, LeaseRequest } from '../bucket/lease-operation.js';
import type { Operation, Outcome, Part } from '../bucket/operation.js';

/** Who is told how an operation ended. Called once. */
export interface OutcomeReceiver {
  succeed(outcome: Outcome): void;
  /** `error` is a ShardlineError that says whether anything may have happened. */
  fail(error: Error): void;
}

/** What is asked of places for work in flight. */
export interface ConcurrencyRequest {
  readonly action: 'acquire' | 'renew' | 'release';
  readonly key: string;
  readonly lengthMs: number;
  /** Most at a time; only for `acquire`. */
  readonly limit: number;
  readonly ids: readonly string[];
}

/** What a limiter needs of the place where levels are kept. */
export interface LimitStore {
  readonly kind: 'redis' | 'memory';
  /** Decides one operation on keys that lie together. */
  run(operation: Operation, receiver: OutcomeReceiver): void;
  /** Takes back one lease of tokens and gives out another. */
  lease(part: Part, request: LeaseRequest): Promise<LeaseGrant>;
  /** acquire: [1 or 0, in flight, us until the next one ends]; renew: 1 or 0 per id; release: [count]. */
  concurrency(request: ConcurrencyRequest): Promise<readonly number[]>;
  /** Whether two subjects' keys can be decided in one step. */
  liesTogether(key: string, other: string): boolean;
  close(options: { timeoutMs: number }): Promise<void>;
}
