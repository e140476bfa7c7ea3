import { readFileSync } from 'node:fs';
import type { UserIds } from '../server/server.js';

/**
 * Whom servers run as when the caller is root: PostgreSQL refuses root, and none of the others needs
 * its rights. `postgres` exists where PostgreSQL was ever installed; `nobody` exists everywhere.
 */
const CANDIDATES = ['postgres', 'nobody'] as const;

/** The user for servers, or undefined if the caller is no root and they run as the caller. */
export function unprivilegedUser(): UserIds | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  for (const candidate of CANDIDATES) {
    const [, , uid, gid] = users.find(([name]) => name === candidate) ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  return { uid: 65_534, gid: 65_534 };
}
