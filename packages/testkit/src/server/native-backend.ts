import { chown, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { findBinaries } from '../binaries/find-binaries.js';
import type { Installation } from '../binaries/installation.js';
import { unprivilegedUser } from '../binaries/unprivileged-user.js';
import { releasePort } from './free-port.js';
import { acquireGuard, type Guard } from './guard.js';
import { NativeServer } from './native-server.js';
import { makeScratchFolder } from './scratch.js';
import type { Backend, LocalPlace, Server, ServerSpec } from './server.js';

/** Servers as processes of this machine, under the guard. */
export const nativeBackend: Backend = {
  name: 'native',
  async start(spec: ServerSpec): Promise<Server> {
    const guard = acquireGuard();
    let folder: string | undefined;
    try {
      const options = spec.version === undefined ? {} : { version: spec.version };
      const installation = await findBinaries(spec.kind, options);
      const owner = unprivilegedUser();
      folder = await makeScratchFolder(guard, spec.name, owner);
      const place = localPlace(folder, spec, installation, owner);
      await fill(place, spec);
      const server = new NativeServer(guard, place, spec);
      await server.start();
      return server;
    } catch (error) {
      await giveUp(guard, folder, spec.port);
      throw error;
    }
  },
};

async function giveUp(guard: Guard, folder: string | undefined, port: number): Promise<void> {
  // The first error is the one to tell; the guard removes at its end what it could not now.
  if (folder !== undefined) await guard.remove({ kind: 'path', path: folder }).catch(() => {});
  await releasePort(port);
  await guard.release();
}

function localPlace(
  folder: string,
  spec: ServerSpec,
  installation: Installation,
  owner: LocalPlace['owner'],
): LocalPlace {
  return {
    folder,
    port: spec.port,
    binary: (name) => installation.binary(name),
    version: installation.version,
    environment: installation.environment,
    owner,
  };
}

async function fill(place: LocalPlace, spec: ServerSpec): Promise<void> {
  for (const [name, content] of Object.entries(spec.files?.(place) ?? {})) {
    const path = join(place.folder, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content, { mode: 0o600 });
    if (place.owner !== undefined) await chown(path, place.owner.uid, place.owner.gid);
  }
  await spec.seed?.(place);
}
