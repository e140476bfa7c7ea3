import { defineErrors } from '@shardline/core';

/** The errors of `@shardline/shard-router`. */
export const routerErrors = defineErrors({
  KEY_INVALID: {
    retryable: false,
    meaning: 'A key is null, of another type than its keyspace declares, or not exact.',
    remedy:
      'Pass the key in the declared type; whole numbers beyond 2^53 as bigint or decimal text.',
  },
  KEYSPACE_UNKNOWN: {
    retryable: false,
    meaning: 'A keyspace was named that the router does not have.',
    remedy: 'Use one of the names in the router options.',
  },
  TABLE_UNKNOWN: {
    retryable: false,
    meaning: 'A table was named that no keyspace, no reference list and no unsharded list holds.',
    remedy: 'Declare the table in the router options, or correct the name.',
  },
  PLACEMENT_INVALID: {
    retryable: false,
    meaning: 'Nodes or weights cannot be placed.',
    remedy: 'Give every node a unique name and a weight above zero; drain a node by removing it.',
  },
  TOPOLOGY_INVALID: {
    retryable: false,
    meaning: 'A topology leaves slots uncovered, gives one twice, or names unknown shards.',
    remedy: 'Correct the topology; every slot belongs to exactly one known shard.',
  },
  SHARD_MISSING: {
    retryable: false,
    meaning: 'The topology names a shard for which the router has no connection settings.',
    remedy: 'Add the shard to the router options of every process before giving it slots.',
  },
  SHARD_MISMATCH: {
    retryable: false,
    meaning: 'A shard is not what the router takes it for.',
    remedy:
      'Check the address of the shard and what `status` says of it; nothing was read or written.',
  },
  HASH_MISMATCH: {
    retryable: false,
    meaning: 'A shard computes other hashes than the router, so rows would be misplaced.',
    remedy: 'Do not use this server as a shard; see the known answers in the message.',
  },
  CATALOG_TOO_NEW: {
    retryable: false,
    meaning: 'The catalog was migrated by a newer version of the package.',
    remedy: 'Upgrade @shardline/shard-router in this process.',
  },
  CATALOG_MISSING: {
    retryable: false,
    meaning: 'The catalog database holds no Shardline schema, or an older one.',
    remedy: 'Run `migrateCatalog` (or the command line tool) with a role that may create schemas.',
  },
  CATALOG_CONFLICT: {
    retryable: true,
    meaning: 'Somebody else changed the topology since it was read.',
    remedy: 'Read the topology again and decide anew.',
  },
  TOPOLOGY_OUTDATED: {
    retryable: true,
    meaning:
      'A shard has joined of which this router does not know, and the catalog did not tell in time.',
    remedy: 'Nothing was written; try again when the catalog can be reached.',
  },
  SLOT_HELD: {
    retryable: true,
    meaning: 'A slot was held for a switch longer than the call could wait.',
    remedy: 'Try again; the switch ends or is given up within its own deadline.',
  },
  SLOT_MOVED: {
    retryable: true,
    meaning: 'The slot changed its owner while the call ran; nothing of the call counts.',
    remedy: 'Run the whole transaction again; it will go to the new owner.',
  },
  OUTCOME_UNKNOWN: {
    retryable: false,
    meaning: 'A write was sent and no answer came, so it may or may not have happened.',
    remedy: 'Look whether the write is there before repeating it.',
  },
  WRONG_SHARD: {
    retryable: false,
    meaning: 'A transaction of one shard used a key that lives on another.',
    remedy: 'Keep a transaction to keys of one slot, or use one transaction per shard.',
  },
  STATEMENT_INVALID: {
    retryable: false,
    meaning:
      "A statement does not follow PostgreSQL's grammar, so that nobody can say what it reads.",
    remedy: 'Correct the statement; the message says where the grammar stopped.',
  },
  SCATTER_REFUSED: {
    retryable: false,
    meaning: 'A statement cannot be scattered exactly.',
    remedy: 'Rewrite the statement as the message says, or run it per key.',
  },
  SCATTER_PARTIAL: {
    retryable: true,
    meaning: 'Some shards did not answer a scatter.',
    remedy: "Try again, or accept what there is with `partial: 'report'`.",
  },
  EVERYWHERE_INCOMPLETE: {
    retryable: false,
    meaning: 'A statement for every shard succeeded on some and failed on others.',
    remedy:
      'Mend the cause named for each shard and run it again with `only` set to the failed ones.',
  },
  ID_INVALID: {
    retryable: false,
    meaning: 'A slot-carrying id could not be made or read.',
    remedy: 'See the message: the clock, the worker id or the value is out of range.',
  },
  MOVE_UNKNOWN: {
    retryable: false,
    meaning: 'A move was named that the journal does not have.',
    remedy: 'See `status` for the moves that there are.',
  },
  MOVE_STATE: {
    retryable: false,
    meaning: 'What was asked of a move cannot follow the state that it is in.',
    remedy:
      'See `status`: before the switch a move can be aborted, after it rolled back or finished.',
  },
  MOVE_HELD: {
    retryable: true,
    meaning: 'Another process runs the move and answers for it.',
    remedy: 'Leave it to that process, or wait for its lease to end if it has died.',
  },
  MOVE_STREAM_LOST: {
    retryable: true,
    meaning:
      'The replication slot that feeds a move was dropped, or invalidated because it held too much back.',
    remedy:
      'The move copies afresh by itself; give it a larger `max_slot_wal_keep_size` if that comes again.',
  },
  MOVE_STREAM_FAILS: {
    retryable: false,
    meaning:
      'PostgreSQL has tried again and again to copy or apply the rows of a move on the destination, and failed each time.',
    remedy:
      "The destination's log names the row and the cause: a constraint, trigger or unique index that the source has not, or no room. Mend it and resume the move, or abort it.",
  },
  MOVE_ROLLBACK_LOST: {
    retryable: false,
    meaning:
      'The replication slot that feeds the source after a switch was dropped, or invalidated because it held too much back, so a rollback would lose writes.',
    remedy:
      'Finish the move, then bring the slots back with a plan of their own; give the server a larger `max_slot_wal_keep_size` for the next one.',
  },
  MOVE_SUPERSEDED: {
    retryable: false,
    meaning: 'Another process has taken the move over while this one worked on it.',
    remedy:
      'Nothing needs mending: what this process did late was refused. See `status` for who runs it.',
  },
  MOVE_BLOCKED: {
    retryable: false,
    meaning: 'A move must not begin, since something would make it fail or lose rows.',
    remedy: 'Mend every finding named above, then apply the plan again.',
  },
  MOVE_DIFFERS: {
    retryable: false,
    meaning: 'Rows of a move are not the same on both sides, so it was not switched.',
    remedy:
      'Look at the keys named above; abort the move and begin it anew if nobody wrote to the copy.',
  },
  SHARD_BUSY: {
    retryable: true,
    meaning: 'A shard takes part in another move that is not over.',
    remedy: 'Finish, resume or abort the other move first.',
  },
  LOCK_UNAVAILABLE: {
    retryable: true,
    meaning:
      'The tables of a shard could not be locked for a moment, since transactions keep them.',
    remedy:
      "End the transactions named above, or let the mover do so with `longTransactions: 'terminate'`.",
  },
  PLAN_INVALID: {
    retryable: false,
    meaning:
      'A plan was edited after it had been made, or is of a form that this version does not know.',
    remedy: 'Make the plan anew; plans are applied to the letter or not at all.',
  },
  PLAN_STALE: {
    retryable: false,
    meaning: 'The topology has changed since the plan was made.',
    remedy: 'Make the plan anew and look at what has changed.',
  },
  SEQUENCE_EXHAUSTED: {
    retryable: false,
    meaning: 'A sequence of a destination has too few values left to get past that of the source.',
    remedy: 'Widen the column and its sequence (to bigint) on every shard, then resume the move.',
  },
  SCHEMA_NOT_COPIED: {
    retryable: false,
    meaning: 'Tables need objects that cannot be copied to a new shard and that it does not have.',
    remedy: 'Make the named objects on the new shard, then repeat.',
  },
  REFERENCE_TABLE_UNKEYED: {
    retryable: false,
    meaning: 'A reference table has no primary key, so it cannot be brought to a new shard.',
    remedy: 'Give the table a primary key on every shard, then repeat.',
  },
  PROVIDER_UNKNOWN: {
    retryable: false,
    meaning: 'A provider of managed PostgreSQL was named that is not known.',
    remedy: 'Use one of the names in the message, or leave it out for servers of your own.',
  },
});
