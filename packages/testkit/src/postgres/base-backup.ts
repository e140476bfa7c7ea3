import { chown, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from 'pg';
import type { UserIds } from '../server/server.js';
import { type CopyOptions, copyFolder, copyOne } from './copy-folder.js';

/**
 * Copies a running primary's data folder with the low-level backup API, as the manual's "Making a
 * Base Backup Using the Low Level API" describes it: PostgreSQL from npm has no pg_basebackup, and
 * this way needs no program at all.
 *
 * - One session stays open from pg_backup_start() to pg_backup_stop(): if it ends, so does the backup.
 * - Files may change, shrink or vanish while they are copied; replaying the log from the label's
 *   position repairs all of that. So a vanished file is no fault.
 * - The log itself is not copied: the replica streams it, from a slot that was made, with its position
 *   reserved, before the backup began.
 * - The label that pg_backup_stop() returns goes into the copy, never into the source.
 */

/** Folders whose contents the server makes anew; see the manual on what a backup leaves out. */
const EMPTIED = [
  'pg_wal',
  'pg_replslot',
  'pg_dynshmem',
  'pg_notify',
  'pg_serial',
  'pg_snapshots',
  'pg_stat_tmp',
  'pg_subtrans',
];

/** Of the running server, not of its data. */
const LEFT_OUT = new Set([
  'postmaster.pid',
  'postmaster.opts',
  'backup_label',
  'backup_label.old',
  'tablespace_map',
  'backup_manifest',
  'standby.signal',
  'recovery.signal',
  'current_logfiles',
  'postgresql.auto.conf.tmp',
]);

const CONTROL_FILE = 'global/pg_control';

/** Whether a path of the data folder stays out of a backup. */
export function isLeftOut(path: string): boolean {
  if (LEFT_OUT.has(path) || path === CONTROL_FILE) return true;
  if (EMPTIED.some((folder) => path.startsWith(`${folder}/`))) return true;
  const name = path.slice(path.lastIndexOf('/') + 1);
  return name === 'pg_internal.init' || name.startsWith('pgsql_tmp');
}

/**
 * @param session A superuser's connection to the primary; nothing else may use it meanwhile.
 * @param source The primary's data folder.
 * @param target The replica's, which must not exist.
 */
export async function copyByBackup(
  session: Client,
  source: string,
  target: string,
  owner: UserIds | undefined,
): Promise<void> {
  const options: CopyOptions = { owner, isSkipped: isLeftOut, isLive: true };
  await session.query("SELECT pg_backup_start('shardline testkit', fast => true)");
  await copyFolder(source, target, options);
  // Last, so that no file of the copy can be older than what it says.
  await copyOne(join(source, CONTROL_FILE), join(target, CONTROL_FILE), { owner });
  const { rows } = await session.query<{ label: string }>(
    'SELECT labelfile AS label FROM pg_backup_stop(wait_for_archive => false)',
  );
  const label = join(target, 'backup_label');
  await writeFile(label, rows[0]?.label ?? '', { mode: 0o600 });
  if (owner !== undefined) await chown(label, owner.uid, owner.gid);
}
