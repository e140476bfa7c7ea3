import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { ShardlineError } from '@shardline/core';
import { testkitErrors } from '../errors.js';
import type { ServerKind } from '../server/server.js';
import { unpackDebianPackages } from './debian-packages.js';
import { embeddedPostgres, embeddedPostgresMajor } from './embedded-postgres.js';
import { type Installation, mainProgram, requiredPrograms } from './installation.js';
import { programVersion } from './program-version.js';

/** Newest major version that is looked for. */
const NEWEST_POSTGRES = 30;
const OLDEST_POSTGRES = 15;

/** Debian keeps servers where an ordinary user's PATH does not look; Homebrew may not be on it. */
const EXTRA_FOLDERS = ['/usr/local/bin', '/usr/bin', '/usr/sbin', '/opt/homebrew/bin'];

const found = new Map<string, Promise<Installation | undefined>>();

/** Which programs are wanted. */
export interface FindBinariesOptions {
  /** PostgreSQL's major version. @default the embedded one, else the newest on this machine */
  readonly version?: number;
}

/**
 * Programs of a kind of server on this machine. PostgreSQL: the npm package, then `PATH` and the
 * system's folders. The others: `PATH`, then Debian's packages, unpacked into the cache folder.
 * Another version of PostgreSQL is looked for in `SHARDLINE_POSTGRES_BIN_<version>` and in the folders
 * where Debian and Homebrew put it.
 *
 * @throws ShardlineError `TESTKIT_BINARY_MISSING`, saying what to install.
 */
export async function findBinaries(
  kind: ServerKind,
  options: FindBinariesOptions = {},
): Promise<Installation> {
  const installation = await lookForBinaries(kind, options);
  if (installation === undefined) throw binaryMissing(kind, options.version);
  return installation;
}

/** As findBinaries, but undefined where there are none. Looks once in a process. */
export function lookForBinaries(
  kind: ServerKind,
  options: FindBinariesOptions = {},
): Promise<Installation | undefined> {
  const key = `${kind} ${options.version ?? ''}`;
  let search = found.get(key);
  if (search === undefined) {
    search = kind === 'postgres' ? findPostgres(options.version) : findOther(kind);
    found.set(key, search);
    // What failed may be mended (a full disk): the next call looks anew.
    search.then(
      (installation) => installation === undefined && found.delete(key),
      () => found.delete(key),
    );
  }
  return search;
}

/** The error that says what to install. */
export function binaryMissing(kind: ServerKind, version?: number): ShardlineError {
  const name = kind === 'postgres' && version !== undefined ? `postgres ${version}` : kind;
  return new ShardlineError(
    testkitErrors.TESTKIT_BINARY_MISSING,
    `No ${name} server was found on this machine, and its packages could not be had.`,
    { remedy: howToInstall(kind, version), details: { kind, version } },
  );
}

function howToInstall(kind: ServerKind, version: number | undefined): string {
  const docker = 'or start a Docker engine';
  if (kind !== 'postgres') {
    const debian = kind === 'redis' ? 'redis-server' : kind;
    return `Install it (apt-get install ${debian}; brew install ${kind}), ${docker}.`;
  }
  if (version === undefined) {
    return `Install optional npm packages (npm install --include=optional), or PostgreSQL (apt-get install postgresql), ${docker}.`;
  }
  return `Install it (apt-get install postgresql-${version}; brew install postgresql@${version}), or name the folder of its programs in SHARDLINE_POSTGRES_BIN_${version}, ${docker}.`;
}

async function findOther(kind: ServerKind): Promise<Installation | undefined> {
  return (await findInFolders(kind, searchPath())) ?? (await unpackDebianPackages(kind));
}

async function findPostgres(version: number | undefined): Promise<Installation | undefined> {
  if (version !== undefined) {
    const own = await findInFolders('postgres', postgresFolders(version), version);
    return own ?? (embeddedPostgresMajor() === version ? embeddedPostgres() : undefined);
  }
  const embedded = await embeddedPostgres();
  if (embedded !== undefined) return embedded;
  const versions = Array.from(
    { length: NEWEST_POSTGRES - OLDEST_POSTGRES + 1 },
    (_, index) => NEWEST_POSTGRES - index,
  );
  return findInFolders('postgres', [...searchPath(), ...versions.flatMap(postgresFolders)]);
}

function searchPath(): string[] {
  return [...(process.env['PATH'] ?? '').split(delimiter).filter(Boolean), ...EXTRA_FOLDERS];
}

function postgresFolders(version: number): string[] {
  const named = process.env[`SHARDLINE_POSTGRES_BIN_${version}`];
  return [
    ...(named === undefined || named === '' ? [] : [named]),
    `/usr/lib/postgresql/${version}/bin`,
    `/usr/pgsql-${version}/bin`,
    `/opt/homebrew/opt/postgresql@${version}/bin`,
    `/usr/local/opt/postgresql@${version}/bin`,
  ];
}

async function findInFolders(
  kind: ServerKind,
  folders: readonly string[],
  major?: number,
): Promise<Installation | undefined> {
  for (const folder of folders) {
    const paths = requiredPrograms[kind].map((name) => join(folder, name));
    if (!(await areExecutable(paths))) continue;
    const version = await programVersion(join(folder, mainProgram[kind]));
    if (version === undefined) continue;
    if (major !== undefined && Number.parseInt(version, 10) !== major) continue;
    return {
      kind,
      version,
      binary: (name) => join(folder, name),
      environment: {},
      origin: 'path',
    };
  }
  return undefined;
}

async function areExecutable(paths: readonly string[]): Promise<boolean> {
  const checks = await Promise.allSettled(paths.map((path) => access(path, constants.X_OK)));
  return checks.every((check) => check.status === 'fulfilled');
}
