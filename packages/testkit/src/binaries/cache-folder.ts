import { chmod, lstat, mkdir } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Where server programs are kept between runs: the folder that SHARDLINE_CACHE names, or
 * `$XDG_CACHE_HOME/shardline`, or `~/.cache/shardline`. For root it is `/var/cache/shardline`, since servers then run as another user who must be able to
 * read it, and root's home is closed to others. A user without a home that can be written to (as
 * `nobody` has none) gets a private folder beside the temporary files.
 *
 * @returns The folder, which exists.
 */
export async function cacheFolder(): Promise<string> {
  const uid = process.getuid?.() ?? 0;
  const named = process.env['SHARDLINE_CACHE'];
  if (named !== undefined && named !== '') return makeOwn(named, uid);
  const configured = process.env['XDG_CACHE_HOME'];
  const usual =
    uid === 0
      ? '/var/cache/shardline'
      : join(
          configured === undefined || configured === '' ? join(homedir(), '.cache') : configured,
          'shardline',
        );
  try {
    return await makeOwn(usual, uid);
  } catch {
    // Not writable for this user, which the last resort does not depend on.
    return makeOwn(join(tmpdir(), `shardline-cache-${uid}`), uid);
  }
}

/** Programs are run from it, so it must not be another user's, who could put others there. */
async function makeOwn(folder: string, uid: number): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const found = await lstat(folder);
  if (found.uid !== uid || !found.isDirectory()) {
    throw new Error(`${folder} belongs to another user.`);
  }
  await chmod(folder, 0o755);
  return folder;
}
