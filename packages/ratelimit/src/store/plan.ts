import type { RedisClient } from '@shardline/core/redis';
import {
  inheritanceCode,
  OPERATION_CODES,
  type Operation,
  type Part,
  type View,
} from '../bucket/operation.js';
import type { Rate } from '../bucket/rate.js';
import type { StoreRequest } from './request.js';
import type { Scripts } from './scripts.js';
import type { OutcomeReceiver } from './store.js';

/**
 * A batch as the script reads it, and its answer as callers read it. Several operations on one key
 * become one read and one write of that key.
 *
 * A key whose callers disagree on its rate (a live change between two checks of one tick) cannot be
 * in one plan twice: `add` says so, and the operation goes into the next plan.
 */
export class Plan implements StoreRequest {
  readonly keys: string[] = [];
  readonly #operations: Operation[] = [];
  readonly #receivers: OutcomeReceiver[] = [];
  readonly #keyIndexes = new Map<string, number>();
  readonly #rateOfKey: number[] = [];
  readonly #rates: string[] = [];
  readonly #rateTexts: string[] = [];
  /** By object: the rate of a policy is one object for as long as it holds. */
  readonly #rateIndexes = new Map<Rate, number>();
  #code = '';

  get size(): number {
    return this.#operations.length;
  }

  /** Adds an operation unless one of its keys is there under another rate. */
  add(operation: Operation, receiver: OutcomeReceiver): boolean {
    let code = `${OPERATION_CODES[operation.name]},${operation.parts.length}`;
    for (const part of operation.parts) {
      const index = this.#keyIndexOf(part);
      if (index === 0) return false;
      code += `,${index},${part.amount}`;
    }
    this.#code = this.#code === '' ? code : `${this.#code},${code}`;
    this.#operations.push(operation);
    this.#receivers.push(receiver);
    return true;
  }

  ask(scripts: Scripts, client: RedisClient): Promise<readonly number[]> {
    return scripts.decide.call(client, this.keys, this.arguments()) as Promise<number[]>;
  }

  /** The script's arguments after its keys. */
  arguments(): string[] {
    return [`[[${this.#rates}],[${this.#rateOfKey}],[${this.#code}]]`, ...this.#rateTexts];
  }

  deliver(reply: readonly number[]): void {
    const nowUs = reply[0] as number;
    let next = 1;
    for (let index = 0; index < this.#operations.length; index += 1) {
      const { parts } = this.#operations[index] as Operation;
      const granted = reply[next++] as number;
      const views: View[] = [];
      for (const { rate } of parts) {
        views.push(readView(rate, reply, next));
        next += rate.algorithm === 'token-bucket' ? 1 : 3;
      }
      this.#receivers[index]?.succeed({ granted, views, nowUs });
    }
  }

  fail(error: Error): void {
    for (const receiver of this.#receivers) receiver.fail(error);
  }

  /** Index of the key, from 1; 0 if it is there under another rate. */
  #keyIndexOf({ key, rate, inheritance }: Part): number {
    const rateIndex = this.#rateIndexOf(rate, inheritance);
    const known = this.#keyIndexes.get(key);
    if (known !== undefined) return this.#rateOfKey[known - 1] === rateIndex ? known : 0;
    const index = this.keys.push(key);
    this.#keyIndexes.set(key, index);
    this.#rateOfKey.push(rateIndex);
    return index;
  }

  #rateIndexOf(rate: Rate, inheritance: Part['inheritance']): number {
    const known = this.#rateIndexes.get(rate);
    if (known !== undefined) return known;
    const index = this.#rates.push(encodeRate(rate, inheritance));
    this.#rateTexts.push(rate.text);
    this.#rateIndexes.set(rate, index);
    return index;
  }
}

/** A rate as the scripts read it. */
export function encodeRate(rate: Rate, inheritance: Part['inheritance']): string {
  const mode = inheritanceCode(inheritance);
  if (rate.algorithm === 'sliding-window') {
    return `[0,${rate.windowMs},${rate.limit},0,${rate.limit},${mode}]`;
  }
  const { num, den, capacityUnits, timeToFullUs, burst } = rate;
  return `[${num},${den},${capacityUnits},${timeToFullUs},${burst},${mode}]`;
}

function readView(rate: Rate, reply: readonly number[], at: number): View {
  if (rate.algorithm === 'token-bucket') {
    return { units: reply[at] as number, previous: 0, current: 0, positionMs: 0 };
  }
  return {
    units: 0,
    previous: reply[at] as number,
    current: reply[at + 1] as number,
    positionMs: reply[at + 2] as number,
  };
}
