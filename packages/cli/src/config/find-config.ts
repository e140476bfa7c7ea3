import { existsSync, readdirSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { nearestName, ShardlineError } from '@shardline/core';
import { cliErrors } from '../errors.js';

/** In this order: the first that is there counts. */
export const CONFIG_FILES = [
  'shardline.config.ts',
  'shardline.config.mts',
  'shardline.config.mjs',
  'shardline.config.js',
  'shardline.config.json',
] as const;

/**
 * The configuration file: the one that was named, or the nearest one from a folder upwards.
 *
 * @throws ShardlineError `CLI_CONFIG_MISSING`, with every place that was looked at.
 */
export function findConfig(folder: string, named: string | undefined): string {
  if (named !== undefined) return namedConfig(folder, named);
  const looked: string[] = [];
  for (let at = resolve(folder); ; at = dirname(at)) {
    const found = CONFIG_FILES.map((file) => join(at, file)).find((file) => existsSync(file));
    if (found !== undefined) return found;
    looked.push(at);
    if (dirname(at) === at) break;
  }
  throw new ShardlineError(
    cliErrors.CLI_CONFIG_MISSING,
    `There is no ${CONFIG_FILES[0]} (or ${CONFIG_FILES.slice(1)
      .map((file) => file.slice('shardline.config'.length))
      .join(', ')}) in ${looked.join(' or in ')}.`,
    { details: { looked, files: CONFIG_FILES } },
  );
}

function namedConfig(folder: string, named: string): string {
  const path = isAbsolute(named) ? named : resolve(folder, named);
  if (existsSync(path)) return path;
  const nearest = nearestName(named.split('/').at(-1) as string, filesIn(dirname(path)));
  throw new ShardlineError(
    cliErrors.CLI_CONFIG_MISSING,
    `There is no file ${path}${nearest === undefined ? '' : `; did you mean '${nearest}'?`}`,
    { details: { looked: [path] } },
  );
}

function filesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}
