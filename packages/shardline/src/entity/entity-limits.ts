import type { RateLimiter } from '@shardline/ratelimit';
import { layerError } from '../errors.js';

/** The limits of one entity: how often the rows of one key may be read or written. */
export class EntityLimits {
  constructor(
    private readonly entity: string,
    private readonly limiter: RateLimiter | undefined,
    private readonly limited: ReadonlySet<'reads' | 'writes'>,
  ) {}

  /** Whether anything has to be asked. */
  has(kind: 'reads' | 'writes'): boolean {
    return this.limited.has(kind);
  }

  /** @throws ShardlineError `ENTITY_LIMITED`. */
  async check(kind: 'reads' | 'writes', key: string, cost = 1): Promise<void> {
    if (!this.limited.has(kind) || this.limiter === undefined) return;
    const policy = policyOf(this.entity, kind);
    const decision = await this.limiter.check(key, { policy, cost });
    if (decision.allowed) return;
    const { retryAfterMs } = decision;
    throw layerError(
      'ENTITY_LIMITED',
      `The limit of ${kind} of '${this.entity}' is reached for a key; the next is possible in ${Math.ceil(retryAfterMs)} ms.`,
      { details: { entity: this.entity, kind, retryAfterMs } },
    );
  }
}

/** The name of the policy by which an entity is limited. */
export function policyOf(entity: string, kind: 'reads' | 'writes'): string {
  return `${entity}.${kind}`;
}
