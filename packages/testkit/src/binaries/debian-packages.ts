import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isShardlineError, ShardlineError } from '@shardline/core';
import { testkitErrors } from '../errors.js';
import { expectRoom } from '../server/scratch.js';
import type { ServerKind } from '../server/server.js';
import { Apt, AptError, installedPackages, isAptPresent, unpackPackage } from './apt.js';
import { cacheFolder } from './cache-folder.js';
import { type Installation, mainProgram } from './installation.js';
import { placeAtomically } from './place-atomically.js';
import { programVersion } from './program-version.js';

/**
 * Server programs from Debian's or Ubuntu's packages, downloaded and unpacked into the cache folder.
 * Nothing is installed and no root is needed: a package is an archive of files, and what the loader
 * would look for in the system's folders it is told of in LD_LIBRARY_PATH.
 *
 * First the system's own lists are tried, which costs no network for the look-up. Where they are
 * empty, as in most containers, or so old that the archive has dropped what they name, private lists
 * are fetched. A folder is put in place only after its program has run once, so what is there works;
 * and it is asked again each time, since a library of the system may have gone since.
 */

/** Debian's redis-server is a link into redis-tools. */
const PACKAGES: Readonly<Partial<Record<ServerKind, readonly string[]>>> = {
  redis: ['redis-server', 'redis-tools'],
  memcached: ['memcached'],
  pgbouncer: ['pgbouncer'],
};

const PROGRAM_FOLDERS = ['usr/bin', 'usr/sbin', 'bin', 'sbin'];
const LIBRARY_FOLDERS = ['usr/lib', 'lib'];

/** Lists fetched within the same span of time are fetched once. */
const LISTS_FRESH_MS = 6 * 60 * 60 * 1000;
/** The lists of a release, and the packages unpacked. */
const NEEDED_BYTES = 150 * 1024 * 1024;

/** Where unpacked packages are kept. */
export interface UnpackOptions {
  /** @default cacheFolder() */
  readonly cache?: string;
}

/**
 * Unpacks the programs of a kind of server, unless an earlier run did.
 *
 * @returns undefined where there is no apt, and for PostgreSQL, which is had in other ways.
 * @throws ShardlineError `TESTKIT_UNPACK_FAILED` with apt's reasons, `TESTKIT_NO_DISK`.
 */
export async function unpackDebianPackages(
  kind: ServerKind,
  options: UnpackOptions = {},
): Promise<Installation | undefined> {
  const packages = PACKAGES[kind];
  if (packages === undefined) return undefined;
  const cache = join(options.cache ?? (await cacheFolder()), 'debian', await systemName());
  const folder = join(cache, kind);
  const ready = await installationIn(kind, folder);
  if (ready !== undefined) return ready;
  if (!(await isAptPresent())) return undefined;
  await mkdir(cache, { recursive: true, mode: 0o755 });
  await expectRoom(cache, `the programs of ${kind}`, NEEDED_BYTES);
  await discardBroken(folder);
  try {
    await placeAtomically(folder, (aside) => fill(kind, packages, cache, aside));
  } catch (error) {
    throw unpackFailed(kind, packages, error);
  }
  return installationIn(kind, folder);
}

/** The programs in a folder, if they work. */
async function installationIn(kind: ServerKind, folder: string): Promise<Installation | undefined> {
  if (!existsSync(folder)) return undefined;
  const libraries = await libraryFolders(folder);
  const environment = libraries.length === 0 ? {} : { LD_LIBRARY_PATH: libraries.join(':') };
  const binary = (name: string) =>
    PROGRAM_FOLDERS.map((place) => join(folder, place, name)).find(existsSync) ??
    join(folder, 'usr/bin', name);
  const version = await programVersion(binary(mainProgram[kind]), environment);
  if (version === undefined) return undefined;
  return { kind, version, binary, environment, origin: 'debian-packages' };
}

/** What worked once and does not any more, a library of the system having gone, makes room. */
async function discardBroken(folder: string): Promise<void> {
  if (!existsSync(folder)) return;
  const aside = `${folder}.part-broken-${process.pid}`;
  try {
    await rename(folder, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error; // else another run did it
  }
  await rm(aside, { recursive: true, force: true });
}

async function fill(
  kind: ServerKind,
  packages: readonly string[],
  cache: string,
  aside: string,
): Promise<void> {
  const work = join(aside, 'apt');
  const files = join(aside, 'packages');
  await mkdir(files, { recursive: true });
  await chmod(aside, 0o755);
  await downloadSomehow(packages, cache, work, files);
  for (const name of await readdir(files)) await unpackPackage(join(files, name), aside);
  await rm(work, { recursive: true });
  await rm(files, { recursive: true });
  if ((await installationIn(kind, aside)) === undefined) {
    throw new AptError(`the unpacked ${mainProgram[kind]} does not start`);
  }
}

async function downloadSomehow(
  packages: readonly string[],
  cache: string,
  work: string,
  files: string,
): Promise<void> {
  try {
    await download(await Apt.open({ work }), packages, files);
    return;
  } catch (error) {
    // The system's lists are empty or too old; the private ones decide.
    if (!(error instanceof AptError)) throw error;
  }
  const { lists, warnings } = await privateLists(cache, work);
  try {
    await download(await Apt.open({ work, lists }), packages, files);
  } catch (error) {
    await rm(lists, { recursive: true, force: true });
    if (!(error instanceof AptError)) throw error;
    throw new AptError([error.message, warnings].filter(Boolean).join(' '), { cause: error });
  }
}

async function download(apt: Apt, packages: readonly string[], files: string): Promise<void> {
  const libraries = (await missing(apt, packages)).filter(isSharedLibrary);
  await apt.download([...new Set([...packages, ...libraries])], files);
}

/** What the packages need and the system lacks. */
async function missing(apt: Apt, packages: readonly string[]): Promise<string[]> {
  try {
    return await apt.missingPackages(packages);
  } catch (error) {
    if (!(error instanceof AptError)) throw error;
    // A system with a half-finished installation refuses to plan another; its tree can still be read.
    const installed = await installedPackages();
    return (await apt.dependencies(packages)).filter((name) => !installed.has(name));
  }
}

/**
 * Whether a package holds libraries that a program loads. Others (adduser, perl) serve only an
 * installation. The C library comes with the system's loader and must match it.
 */
export function isSharedLibrary(name: string): boolean {
  return /^lib/.test(name) && !/^libc6$|^libc6:|^libc-bin$|^libperl|-perl$|-dev$/.test(name);
}

/** Lists of our own, shared by the kinds of servers and by runs of the same hours. */
async function privateLists(
  cache: string,
  work: string,
): Promise<{ lists: string; warnings: string }> {
  const span = Math.floor(Date.now() / LISTS_FRESH_MS);
  let warnings = '';
  const lists = await placeAtomically(join(cache, `lists-${span}`), async (aside) => {
    const apt = await Apt.open({ work, lists: aside });
    warnings = await apt.update();
  });
  await sweepOldLists(cache, span);
  return { lists, warnings };
}

/** The span before the present one may still be in use by a run that is under way. */
async function sweepOldLists(cache: string, span: number): Promise<void> {
  for (const name of await readdir(cache)) {
    const number = /^lists-(\d+)$/.exec(name)?.[1];
    if (number === undefined || Number(number) >= span - 1) continue;
    await rm(join(cache, name), { recursive: true, force: true });
  }
}

async function libraryFolders(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const place of LIBRARY_FOLDERS) {
    const parent = join(folder, place);
    const names = await readdir(parent).catch(() => []); // no such folder: no libraries in it
    const triplets = names.filter((name) => /-linux-/.test(name));
    for (const candidate of [parent, ...triplets.map((name) => join(parent, name))]) {
      const entries = await readdir(candidate).catch(() => []);
      if (entries.some((name) => /\.so(\.|$)/.test(name))) found.push(candidate);
    }
  }
  return found;
}

/** Programs of one release do not run on another: `debian-12-x64`. */
async function systemName(): Promise<string> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '');
  const field = (name: string) => new RegExp(`^${name}="?([^"\\n]*)`, 'm').exec(text)?.[1];
  const parts = [field('ID'), field('VERSION_ID') ?? field('VERSION_CODENAME'), process.arch];
  return parts
    .filter(Boolean)
    .join('-')
    .replace(/[^\w.-]/g, '_');
}

function unpackFailed(kind: ServerKind, packages: readonly string[], error: unknown): unknown {
  if (isShardlineError(error)) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new ShardlineError(
    testkitErrors.TESTKIT_UNPACK_FAILED,
    `No ${kind} server is installed, and the package ${packages[0]} could not be had: ${reason}.`,
    {
      cause: error,
      details: { kind, packages },
      remedy: `Give this machine a way to its package archive, or install it by hand (apt-get install ${packages[0]}), or start a Docker engine.`,
    },
  );
}
