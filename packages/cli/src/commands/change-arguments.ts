/** The words of a change, read to what the library is told. Shared by `plan` and `shards`. */

import type { PlacementChange } from '@shardline/shard-router/rebalance';
import { InvalidArgumentError } from 'commander';

/** Reads a weight: a number of zero or more. */
export function weightArgument(text: string): number {
  const weight = Number(text);
  if (text.trim() === '' || !Number.isFinite(weight) || weight < 0) {
    throw new InvalidArgumentError(`'${text}' is no weight: a number of 0 or more.`);
  }
  return weight;
}

/** Reads `users-1=2`, gathering all of them. */
export function weightsArgument(
  text: string,
  before: Readonly<Record<string, number>> = {},
): Readonly<Record<string, number>> {
  const match = /^([^=]+)=(.+)$/.exec(text);
  if (match === null) throw new InvalidArgumentError(`'${text}' is not written as SHARD=WEIGHT.`);
  const [, shard, weight] = match as unknown as [string, string, string];
  if (shard in before) throw new InvalidArgumentError(`Shard '${shard}' is given two weights.`);
  return { ...before, [shard]: weightArgument(weight) };
}

/** Reads a list of slots; how many there are, the keyspace says. */
export function slotsArgument(text: string): string {
  if (!/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(text)) {
    throw new InvalidArgumentError(`'${text}' is no list of slots, such as 0-511,600.`);
  }
  return text;
}

/** A new shard takes its share. */
export function additionOf(shard: string, weight: number | undefined): PlacementChange {
  return { kind: 'add', shard, ...(weight === undefined ? {} : { weight }) };
}
