import { execFile } from 'node:child_process';
import { chown, mkdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { ShardlineError } from '@shardline/core';
import { cacheFolder } from '../binaries/cache-folder.js';
import { placeAtomically } from '../binaries/place-atomically.js';
import { testkitErrors } from '../errors.js';
import { expectRoom } from '../server/scratch.js';
import type { LocalPlace } from '../server/server.js';
import { copyFolder } from './copy-folder.js';

/**
 * A fresh data folder costs initdb most of a second. It is made once for a version and a user, kept in
 * the cache folder, and every server starts from a copy of it.
 */

const run = promisify(execFile);

/** How every cluster is made, natively and in containers; the folder comes last. */
export const INITDB_ARGUMENTS = [
  '--username=postgres',
  '--auth=trust',
  '--encoding=UTF8',
  '--no-locale',
  '--no-sync',
  '--no-instructions',
] as const;

/** Fills a data folder with a fresh cluster. */
export async function copyTemplate(place: LocalPlace, target: string): Promise<void> {
  const uid = place.owner?.uid ?? process.getuid?.() ?? 0;
  const build = basename(dirname(dirname(place.binary('initdb'))));
  const name = `cluster-${place.version}-${build}-user-${uid}`;
  const cache = await cacheFolder();
  const template = await placeAtomically(join(cache, name), async (aside) => {
    await expectRoom(cache, 'a PostgreSQL data folder');
    await makeCluster(place, aside);
  });
  await copyFolder(template, target, { owner: place.owner });
}

/** A fresh cluster that is no copy: copies of the template all have its system identifier. */
export async function makeCluster(place: LocalPlace, folder: string): Promise<void> {
  await mkdir(folder, { mode: 0o700 });
  if (place.owner !== undefined) await chown(folder, place.owner.uid, place.owner.gid);
  try {
    await run(place.binary('initdb'), [...INITDB_ARGUMENTS, folder], {
      cwd: place.folder,
      env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', ...place.environment },
      timeout: 120_000,
      ...place.owner,
    });
  } catch (error) {
    const { stderr = '' } = error as { stderr?: string };
    throw new ShardlineError(
      testkitErrors.TESTKIT_NOT_READY,
      `initdb could not make a PostgreSQL data folder: ${stderr.trim() || String(error)}`,
      { cause: error },
    );
  }
}
