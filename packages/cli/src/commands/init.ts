/** `shardline init`: a configuration to begin with, and, with `--apply`, the catalog and the shards that it describes. */

import { existsSync, writeFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { ShardlineError } from '@shardline/core';
import type { BootstrapStep } from '@shardline/shard-router';
import { type Command, Option } from 'commander';
import type { Answer } from '../answer.js';
import { type Bind, examples } from '../bind.js';
import { CONFIG_FILES } from '../config/find-config.js';
import { skeleton } from '../config/skeleton.js';
import { cliErrors } from '../errors.js';
import { bootstrapText } from '../output/bootstrap-text.js';
import type { Session } from '../session.js';

interface InitFlags {
  readonly as: 'ts' | 'mjs' | 'json';
  readonly name?: string;
  readonly apply?: boolean;
  readonly force?: boolean;
  readonly dryRun?: boolean;
}

/** `shardline init`. */
export function addInit(program: Command, bind: Bind): void {
  program
    .command('init')
    .description(
      'Write a configuration to begin with; with --apply, make catalog and shards of one.',
    )
    .addOption(
      new Option('--as <kind>', 'kind of the file').choices(['ts', 'mjs', 'json']).default('ts'),
    )
    .option('--name <name>', 'name of the service; that of the folder if not given')
    .option('--force', 'write over a file that is there')
    .option('--apply', 'migrate the catalog, publish the first map, put tables under guard')
    .option('--dry-run', 'print what would be written or done, with SQL')
    .addHelpText('after', examples('init', 'init --apply --dry-run', 'init --apply'))
    .action(
      bind((session, flags: InitFlags) =>
        flags.apply ? initialise(session, flags) : writeSkeleton(session, flags),
      ),
    );
}

async function writeSkeleton(session: Session, flags: InitFlags): Promise<Answer> {
  const { folder } = session.host;
  const file = `shardline.config.${flags.as}`;
  const text = skeleton(flags.as, flags.name ?? basename(resolve(folder)));
  const present = CONFIG_FILES.find((name) => existsSync(resolve(folder, name)));
  if (!flags.dryRun) {
    if (present !== undefined && !flags.force) {
      throw new ShardlineError(cliErrors.CLI_FILE_EXISTS, `There is a ${present} in ${folder}.`, {
        remedy: 'Go on with `shardline init --apply`, or write over it with `--force`.',
      });
    }
    writeFileSync(resolve(folder, file), text);
  }
  return {
    kind: flags.dryRun ? 'dry-run' : 'init',
    data: { command: 'init', file, ...(flags.dryRun ? { text } : {}) },
    text: (style) =>
      flags.dryRun
        ? `${text}\n${style.dim(`Would be written to ${file}. Nothing was changed.`)}`
        : `Written to ${style.bold(file)}. Put your servers, keyspaces and tables in it.`,
    next: flags.dryRun ? [`shardline init --as ${flags.as}`] : ['shardline init --apply --dry-run'],
  };
}

async function initialise(session: Session, { dryRun }: InitFlags): Promise<Answer> {
  const { config } = await session.configuration();
  const { describeBootstrap } = await import('@shardline/shard-router');
  const { administratorConfigOf, administratorRouterOptionsOf, initialiseShards } = await import(
    'shardline'
  );
  const steps = await session.answerTo('Looking at catalog and shards', () =>
    describeBootstrap(administratorRouterOptionsOf(config)),
  );
  if (dryRun || steps.length === 0) return initialised(steps, dryRun ? 'dry-run' : 'init');
  await session.confirm({
    action: `Make these changes on ${new Set(steps.map(({ on }) => on)).size} databases`,
    consequence: `${steps.map(({ on, description }) => `${on}: ${description}`).join('\n')}\n`,
  });
  await session.answerTo('Making catalog and shards', () =>
    initialiseShards(administratorConfigOf(config)),
  );
  return initialised(steps, 'init');
}

function initialised(steps: readonly BootstrapStep[], kind: 'init' | 'dry-run'): Answer {
  const isDryRun = kind === 'dry-run';
  return {
    kind,
    data: { command: 'init', steps },
    text: (style) =>
      [
        bootstrapText(steps, isDryRun, style),
        isDryRun ? 'Nothing was changed.' : style.green('Catalog and shards are ready.'),
      ].join('\n\n'),
    next: isDryRun && steps.length > 0 ? ['shardline init --apply'] : ['shardline doctor'],
  };
}
