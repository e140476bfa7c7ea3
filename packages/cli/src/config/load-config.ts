/**
 * The configuration file as services import it: TypeScript, JavaScript or JSON.
 *
 * A file that imports `shardline` finds the copy of its project. Where there is none (the command was installed by itself)
 * it is given the command's own, since `defineConfig` only hands its argument back.
 */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ShardlineError } from '@shardline/core';
import type { DataLayerConfig } from 'shardline';
import { cliErrors } from '../errors.js';

/** What a file holds. In JSON it may name its schema, `schema/configuration.json`, for editors. */
export type Configuration = DataLayerConfig & { readonly $schema?: string };

/**
 * Loads a configuration file.
 *
 * @throws ShardlineError `CLI_CONFIG_UNREADABLE` if it does not load or exports no configuration.
 */
export async function loadConfig(path: string): Promise<Configuration> {
  const loaded = path.endsWith('.json') ? readJson(path) : await importFile(path);
  if (typeof loaded === 'object' && loaded !== null && !isModule(loaded)) {
    return loaded as Configuration;
  }
  throw new ShardlineError(
    cliErrors.CLI_CONFIG_UNREADABLE,
    `${path} exports no configuration as its default.`,
    { remedy: 'Write `export default defineConfig({ … })`.', details: { path } },
  );
}

/** Where there is no default the loader hands the whole module over. */
function isModule(loaded: object): boolean {
  return '__esModule' in loaded;
}

function readJson(path: string): unknown {
  try {
    const loaded = JSON.parse(readFileSync(path, 'utf8'));
    // It is for editors; the data layer knows no such option.
    if (typeof loaded === 'object' && loaded !== null) delete loaded.$schema;
    return loaded;
  } catch (error) {
    throw unreadable(path, error);
  }
}

async function importFile(path: string): Promise<unknown> {
  try {
    return await importWith(path, {});
  } catch (error) {
    const own = lacksLibrary(error) ? ownLibrary() : undefined;
    if (own === undefined) throw unreadable(path, error);
    return importWith(path, { shardline: own }).catch((again: unknown) => {
      throw unreadable(path, again);
    });
  }
}

async function importWith(path: string, alias: Record<string, string>): Promise<unknown> {
  const { createJiti } = await import('jiti');
  // Without a cache on disk: a command that only looks leaves nothing behind.
  const jiti = createJiti(path, { alias, fsCache: false, moduleCache: false });
  return jiti.import(path, { default: true });
}

function lacksLibrary(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return (
    (code === 'MODULE_NOT_FOUND' || code === 'ERR_MODULE_NOT_FOUND') &&
    /'shardline'/.test(String(message))
  );
}

function ownLibrary(): string | undefined {
  try {
    return fileURLToPath(import.meta.resolve('shardline'));
  } catch {
    return undefined;
  }
}

function unreadable(path: string, cause: unknown): ShardlineError {
  const { message } = cause as { message?: unknown };
  return new ShardlineError(
    cliErrors.CLI_CONFIG_UNREADABLE,
    `${path} cannot be loaded: ${String(message ?? cause)}.`.replace(/\.\.$/, '.'),
    { cause, details: { path } },
  );
}
