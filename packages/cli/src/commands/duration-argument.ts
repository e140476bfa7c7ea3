import { durationFault, durationMs } from '@shardline/core';
import { InvalidArgumentError } from 'commander';

/** Reads a duration of the command line, in milliseconds. */
export function durationArgument(text: string): number {
  const fault = durationFault(text);
  if (fault !== undefined) throw new InvalidArgumentError(`${fault}.`);
  return durationMs(text);
}
