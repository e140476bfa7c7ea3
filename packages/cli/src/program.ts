import { Command } from 'commander';

/** The command `shardline` with all its verbs. */
export function createProgram(): Command {
  return new Command('shardline').description(
    'Plan, apply, watch and undo live rebalancing of PostgreSQL shards.',
  );
}
