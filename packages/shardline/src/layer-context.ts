import type { Cache } from '@shardline/cache';
import { answerWithin, type Clock, withDeadline } from '@shardline/core';
import type { ReplicaPool } from '@shardline/pool';
import type { RateLimiter } from '@shardline/ratelimit';
import type { Router } from '@shardline/shard-router';
import type { SourceCall } from './entity/entity-source.js';
import type { ShardFloors } from './freshness/shard-floors.js';
import type { Invalidations } from './invalidation/invalidations.js';
import type { Admission } from './lifecycle/admission.js';
import { currentLayerSession } from './session/current-session.js';
import { OpenSession, type SessionContext } from './session/open-session.js';
import { currentTransaction } from './transaction/current-transaction.js';
import type { OpenTransaction } from './transaction/open-transaction.js';

/** What the parts of one open layer share. */
export interface LayerParts {
  /** Names the layer in the outbox. */
  readonly name: string;
  readonly pools: ReadonlyMap<string, ReplicaPool>;
  readonly router: Router;
  readonly cache: Cache | undefined;
  readonly limiter: RateLimiter | undefined;
  readonly invalidations: Invalidations | undefined;
  readonly writesOutbox: boolean;
  readonly floors: ShardFloors;
  readonly admission: Admission;
  readonly sessions: SessionContext;
  readonly clock: Clock;
  readonly operationTimeoutMs: number;
}

/** The shared parts, and what is asked of them everywhere. */
export class LayerContext {
  readonly parts: LayerParts;

  constructor(parts: LayerParts) {
    this.parts = parts;
  }

  get #owner(): object {
    return this.parts.sessions.owner;
  }

  /** The session that a call belongs to. */
  readonly session = (): OpenSession | undefined => currentLayerSession(this.#owner);

  /** The transaction that a call belongs to. */
  readonly transaction = (): OpenTransaction | undefined => currentTransaction(this.#owner);

  /** The session that a call belongs to, or one of its own. */
  readonly sessionOrNew = (): OpenSession =>
    this.session() ?? OpenSession.ofOneCall(this.parts.sessions);

  /** The topology in force. */
  readonly epoch = (): number => this.parts.router.topology.epoch;

  /** Runs statements within the layer's deadline, and until the caller gives up. */
  readonly call = <T>(
    doing: string,
    work: (call: SourceCall) => Promise<T>,
    signal?: AbortSignal | undefined,
  ): Promise<T> => {
    const { operationTimeoutMs, clock } = this.parts;
    return withDeadline({ timeoutMs: operationTimeoutMs, signal, doing, clock }, (stop) =>
      work({ signal: stop }),
    );
  };

  /** Waits within the layer's deadline for what cannot be told to stop. */
  readonly answer = <T>(doing: string, work: () => Promise<T>): Promise<T> => {
    const { operationTimeoutMs, clock } = this.parts;
    return answerWithin({ timeoutMs: operationTimeoutMs, doing, clock }, work);
  };
}
