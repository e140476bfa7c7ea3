import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** An unfinished folder this old belongs to a run that died. */
const ABANDONED_MS = 60 * 60 * 1000;

/**
 * Makes a folder so that others see all of it or nothing: it is filled aside, then renamed. Two runs
 * at once both fill, one rename wins, and the loser takes the winner's.
 *
 * @returns The folder.
 */
export async function placeAtomically(
  folder: string,
  fill: (aside: string) => Promise<void>,
): Promise<string> {
  if (existsSync(folder)) return folder;
  await sweepAbandoned(folder);
  const aside = `${folder}.part-${process.pid}-${randomBytes(3).toString('hex')}`;
  try {
    await fill(aside);
    await rename(aside, folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const isLostRace = (code === 'ENOTEMPTY' || code === 'EEXIST') && existsSync(folder);
    if (!isLostRace) throw error;
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
  return folder;
}

async function sweepAbandoned(folder: string): Promise<void> {
  for (const name of await readdir(dirname(folder))) {
    if (!name.startsWith(`${basename(folder)}.part-`)) continue;
    const path = join(dirname(folder), name);
    const found = await stat(path).catch(() => undefined);
    if (found === undefined || Date.now() - found.mtimeMs < ABANDONED_MS) continue;
    await rm(path, { recursive: true, force: true });
  }
}
