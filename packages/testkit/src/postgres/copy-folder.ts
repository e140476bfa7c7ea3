import { chmod, chown, constants, copyFile, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { UserIds } from '../server/server.js';

/** Copies at once: as many as keep two disks busy, few enough to leave the event loop alone. */
const PARALLEL = 16;

/** What is copied, and for whom. */
export interface CopyOptions {
  /** Who owns the copy; undefined: the caller. */
  readonly owner: UserIds | undefined;
  /** Whether to leave out a file or folder, by its path below the source: `base/1/pg_internal.init`. */
  readonly isSkipped?: (path: string) => boolean;
  /** Files that vanish between being listed and being copied are left out. @default false */
  readonly isLive?: boolean;
}

/**
 * Copies a data folder, with folders open to their owner only, as PostgreSQL demands. Where the disk
 * can share blocks between files, nothing is copied but the names.
 */
export async function copyFolder(
  source: string,
  target: string,
  options: CopyOptions,
): Promise<void> {
  const files: string[] = [];
  await copyTree(source, target, '', options, files);
  const queue = files.values();
  const worker = async () => {
    for (const path of queue) await copyOne(join(source, path), join(target, path), options);
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}

/** Makes the folders and lists the files. */
async function copyTree(
  source: string,
  target: string,
  below: string,
  options: CopyOptions,
  files: string[],
): Promise<void> {
  await mkdir(join(target, below), { mode: 0o700 });
  await own(join(target, below), options.owner);
  for (const entry of await readdir(join(source, below), { withFileTypes: true })) {
    const path = below === '' ? entry.name : `${below}/${entry.name}`;
    if (options.isSkipped?.(path) === true) continue;
    if (entry.isDirectory()) await copyTree(source, target, path, options, files);
    else if (entry.isFile()) files.push(path);
    else throw new Error(`${join(source, path)} is neither file nor folder and is not copied.`);
  }
}

/** One file; false if it has vanished meanwhile, which only a live folder may. */
export async function copyOne(from: string, to: string, options: CopyOptions): Promise<boolean> {
  try {
    await copyFile(from, to, constants.COPYFILE_FICLONE);
  } catch (error) {
    if (options.isLive === true && (error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
  await chmod(to, 0o600);
  await own(to, options.owner);
  return true;
}

async function own(path: string, owner: UserIds | undefined): Promise<void> {
  if (owner !== undefined) await chown(path, owner.uid, owner.gid);
}
