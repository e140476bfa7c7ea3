import type { RedisClient } from '@shardline/core/redis';
import type { Operation, Part } from '../bucket/operation.js';
import type { TokenBucketRate } from '../bucket/rate.js';
import { Plan } from './plan.js';
import type { StoreRequest } from './request.js';
import type { Scripts } from './scripts.js';
import type { OutcomeReceiver } from './store.js';

/**
 * A check that is alone in its tick: what most processes send most of the time. It goes by a script
 * that knows nothing else; what that script hands back untouched goes by the full one.
 */
export class LoneCheck implements StoreRequest {
  readonly size = 1;
  readonly #operation: Operation;
  readonly #receiver: OutcomeReceiver;
  #plan: Plan | undefined;

  constructor(operation: Operation, receiver: OutcomeReceiver) {
    this.#operation = operation;
    this.#receiver = receiver;
  }

  /** Whether an operation can be asked for in this way. */
  static canBe({ name, parts }: Operation): boolean {
    return name === 'check' && parts.length === 1 && parts[0]?.rate.algorithm === 'token-bucket';
  }

  async ask(scripts: Scripts, client: RedisClient): Promise<readonly number[]> {
    const part = this.#operation.parts[0] as Part;
    const args = [...(part.rate as TokenBucketRate).scriptArguments, `${part.amount}`];
    const reply = (await scripts.checkOne.call(client, [part.key], args)) as number[];
    if (reply.length > 0) return reply;
    this.#plan = new Plan();
    this.#plan.add(this.#operation, this.#receiver);
    return this.#plan.ask(scripts, client);
  }

  deliver(reply: readonly number[]): void {
    if (this.#plan !== undefined) {
      this.#plan.deliver(reply);
      return;
    }
    const [nowUs, granted, units] = reply as [number, number, number];
    const views = [{ units, previous: 0, current: 0, positionMs: 0 }];
    this.#receiver.succeed({ granted, views, nowUs });
  }

  fail(error: Error): void {
    this.#receiver.fail(error);
  }
}
