import type { ServerKind } from '../server/server.js';
import type { Installation } from './installation.js';

/** Programs from Debian's or Ubuntu's packages, unpacked without installing them. */
export async function unpackDebianPackages(_kind: ServerKind): Promise<Installation | undefined> {
  return undefined;
}
