import { defineErrors } from '@shardline/core';

/** The errors of the command line itself. */
export const cliErrors = defineErrors({
  CLI_USAGE: {
    retryable: false,
    meaning: 'A command was used with words or options that it does not have.',
    remedy: 'See `shardline --help`, or `--help` behind the command.',
  },
  CLI_CONFIG_MISSING: {
    retryable: false,
    meaning: 'There is no configuration file where the command looked for one.',
    remedy: 'Write one with `shardline init`, or name one with `--config FILE`.',
  },
  CLI_CONFIG_UNREADABLE: {
    retryable: false,
    meaning: 'The configuration file cannot be loaded.',
    remedy: 'Correct the file; it must export a configuration as its default.',
  },
  CLI_CONFIRMATION_NEEDED: {
    retryable: false,
    meaning: 'Something that cannot be undone needs a yes, and there is nobody to ask.',
    remedy: 'Look at it with `--dry-run` first, then repeat the command with `--yes`.',
  },
  CLI_DECLINED: {
    retryable: false,
    meaning: 'The question was answered with no.',
    remedy: 'Nothing was changed.',
  },
  CLI_INTERRUPTED: {
    retryable: true,
    meaning: 'The command was ended by Ctrl-C or by a signal.',
    remedy: 'Take up what was begun with `shardline resume`; give it up with `shardline abort`.',
  },
  CLI_PLAN_UNREADABLE: {
    retryable: false,
    meaning: 'A plan file is not there, or is none.',
    remedy: 'Name a file that `shardline plan` wrote.',
  },
  CLI_MOVE_UNKNOWN: {
    retryable: false,
    meaning: 'A move was named that there is not, or more than one begins so.',
    remedy: 'See `shardline status` for the moves there are; `last` names the newest.',
  },
  CLI_KEYSPACE_NEEDED: {
    retryable: false,
    meaning: 'There are several keyspaces and none was named.',
    remedy: 'Name one with `--keyspace NAME` or the variable SHARDLINE_KEYSPACE.',
  },
  CLI_SHARD_UNKNOWN: {
    retryable: false,
    meaning: 'A shard was named that the configuration does not have.',
    remedy: 'Add the shard to the configuration of every service and roll it out first.',
  },
  CLI_FILE_EXISTS: {
    retryable: false,
    meaning: 'A file would be written over.',
    remedy: 'Name another file, or repeat the command with `--force`.',
  },
  CLI_LIBRARY_MISSING: {
    retryable: false,
    meaning: 'An option needs a library that is not installed beside the command.',
    remedy: 'Install it in the same project, and repeat the command.',
  },
  CLI_UNEXPECTED: {
    retryable: false,
    meaning: 'An error came from below that has no code of its own.',
    remedy: 'See the message; `shardline doctor` looks at everything that a move relies on.',
  },
});
