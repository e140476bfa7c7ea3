import type { Operation } from '../bucket/operation.js';
import { LoneCheck } from './lone-check.js';
import { Plan } from './plan.js';
import type { StoreRequest } from './request.js';
import type { OutcomeReceiver } from './store.js';

/**
 * What one tick asks, one round trip answers.
 *
 * While nothing is under way a flush runs as soon as the current callback and its microtasks are done
 * (`process.nextTick`), so a lone check is on the wire as early as without batching. While something
 * is under way the answer is some way off in any case, and a flush waits for the end of the event
 * loop's turn (`setImmediate`), which gathers what other sockets ask in the same turn.
 *
 * On a Cluster a script may only touch keys of one slot, so what is gathered is packed by slot.
 */
export interface MicroBatchOptions {
  /** Slot of a key, or one number for all where there are no slots. */
  readonly slotOf: (key: string) => number;
  /** Sends a request, calls `onAnswer` when the answer is there, and only then hands it out. */
  readonly send: (request: StoreRequest, onAnswer: () => void) => void;
}

/** Keys in one script: longer scripts hold up everyone else on the server. */
const MAX_KEYS = 64;
/** Operations in one script, about 0.1 ms of the server's time. */
const MAX_OPERATIONS = 256;

/** Gathers operations and sends them in plans. */
export class MicroBatch {
  readonly #options: MicroBatchOptions;
  #operations: Operation[] = [];
  #receivers: OutcomeReceiver[] = [];
  #underWay = 0;
  #isScheduled = false;

  constructor(options: MicroBatchOptions) {
    this.#options = options;
  }

  /** Operations that wait to be sent. */
  get waiting(): number {
    return this.#operations.length;
  }

  /** Plans whose answer is awaited. */
  get underWay(): number {
    return this.#underWay;
  }

  add(operation: Operation, receiver: OutcomeReceiver): void {
    this.#operations.push(operation);
    this.#receivers.push(receiver);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    if (this.#underWay === 0) process.nextTick(this.#flush);
    else setImmediate(this.#flush);
  }

  readonly #flush = (): void => {
    this.#isScheduled = false;
    const operations = this.#operations;
    const receivers = this.#receivers;
    this.#operations = [];
    this.#receivers = [];
    const [first] = operations;
    if (operations.length === 1 && first !== undefined && LoneCheck.canBe(first)) {
      this.#send(new LoneCheck(first, receivers[0] as OutcomeReceiver));
      return;
    }
    for (const plan of this.#pack(operations, receivers)) this.#send(plan);
  };

  #send(request: StoreRequest): void {
    this.#underWay += 1;
    // Before the answer is handed out: whoever asks again at once must not be taken for one of many.
    this.#options.send(request, () => {
      this.#underWay -= 1;
    });
  }

  #pack(operations: readonly Operation[], receivers: readonly OutcomeReceiver[]): Plan[] {
    const plans: Plan[] = [];
    const openPlans = new Map<number, Plan>();
    for (let index = 0; index < operations.length; index += 1) {
      const operation = operations[index] as Operation;
      const receiver = receivers[index] as OutcomeReceiver;
      const slot = this.#options.slotOf(operation.parts[0]?.key ?? '');
      let plan = openPlans.get(slot);
      if (plan === undefined || isFull(plan) || !plan.add(operation, receiver)) {
        plan = new Plan();
        plan.add(operation, receiver);
        plans.push(plan);
        openPlans.set(slot, plan);
      }
    }
    return plans;
  }
}

function isFull(plan: Plan): boolean {
  return plan.keys.length >= MAX_KEYS || plan.size >= MAX_OPERATIONS;
}
