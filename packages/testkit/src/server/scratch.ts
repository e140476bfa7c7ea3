import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ShardlineError } from '@shardline/core';
import { testkitErrors } from '../errors.js';
import type { Guard } from './guard.js';
import type { UserIds } from './server.js';

/**
 * A server's folder: in the system's folder for temporary files, private to the server's user, named
 * to the guard before it is made, so that it goes with the run whatever happens.
 */

/** A fresh PostgreSQL takes 40 MB and its log may grow to several times that. */
const NEEDED_BYTES = 200 * 1024 * 1024;

/** Makes an empty folder that goes with the run. */
export async function makeScratchFolder(
  guard: Guard,
  name: string,
  owner: UserIds | undefined,
): Promise<string> {
  await expectRoom(tmpdir(), name);
  const folder = join(tmpdir(), `shardline-${randomBytes(4).toString('hex')}-${name}`);
  await guard.keep({ kind: 'path', path: folder });
  await mkdir(folder, { mode: 0o700 });
  await chmod(folder, 0o700);
  if (owner !== undefined) await chown(folder, owner.uid, owner.gid);
  return folder;
}

/** Refuses at once what would fail later with a message that is hard to read. */
export async function expectRoom(
  folder: string,
  purpose: string,
  neededBytes = NEEDED_BYTES,
): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const freeBytes = bavail * bsize;
  if (freeBytes >= neededBytes) return;
  throw noDisk(folder, purpose, `${megabytes(freeBytes)} free, ${megabytes(neededBytes)} needed`);
}

/** The error of a full disk. */
export function noDisk(folder: string, purpose: string, facts: string, cause?: unknown) {
  return new ShardlineError(
    testkitErrors.TESTKIT_NO_DISK,
    `The disk of ${folder} has no room for ${purpose} (${facts}).`,
    { details: { folder }, ...(cause === undefined ? {} : { cause }) },
  );
}

function megabytes(bytes: number): string {
  return `${Math.floor(bytes / 1024 / 1024)} MB`;
}
