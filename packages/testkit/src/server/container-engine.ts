import { ShardlineError } from '@shardline/core';
import type { ContainerRuntimeClient } from 'testcontainers';
import { testkitErrors } from '../errors.js';
import type { EngineAddress } from './guard-protocol.js';
import type { ServerKind } from './server.js';
import { messageOf } from './wait-until.js';

/**
 * The Docker engine, through Testcontainers, which knows the many places where one may be. It is
 * loaded only when containers are wanted: it is large, and most runs never need it.
 */

/** Images that are used unless an environment variable names others. */
const IMAGES: Readonly<Record<ServerKind, { readonly variable: string; readonly image: string }>> =
  {
    postgres: { variable: 'SHARDLINE_POSTGRES_IMAGE', image: 'postgres:18' },
    redis: { variable: 'SHARDLINE_REDIS_IMAGE', image: 'redis:7' },
    memcached: { variable: 'SHARDLINE_MEMCACHED_IMAGE', image: 'memcached:1.6' },
    pgbouncer: { variable: 'SHARDLINE_PGBOUNCER_IMAGE', image: 'edoburu/pgbouncer:latest' },
  };

let search: Promise<unknown> | undefined;

/** Why no Docker engine answers; undefined if one does. Looks once in a process. */
export function whyNoEngine(): Promise<unknown> {
  search ??= connectToEngine().then(
    () => undefined,
    (error: unknown) => error ?? new Error('unknown'),
  );
  return search;
}

/** The engine's client. */
export async function connectToEngine(): Promise<ContainerRuntimeClient> {
  const { getContainerRuntimeClient } = await import('testcontainers');
  return getContainerRuntimeClient();
}

/** Which image serves a kind of server. Pure. */
export function imageFor(
  kind: ServerKind,
  version: number | undefined,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const { variable, image } = IMAGES[kind];
  const named = environment[variable];
  if (named !== undefined && named !== '') return named;
  return version === undefined ? image : image.replace(/:.*$/, `:${version}`);
}

/** Makes sure that an image is on the engine. */
export async function provideImage(
  client: ContainerRuntimeClient,
  kind: ServerKind,
  image: string,
): Promise<void> {
  const { ImageName } = await import('testcontainers');
  const name = ImageName.fromString(image);
  if (await client.image.exists(name)) return;
  try {
    await client.image.pull(name);
  } catch (error) {
    throw new ShardlineError(
      testkitErrors.TESTKIT_IMAGE_MISSING,
      `The image ${image} for ${kind} (${IMAGES[kind].variable}) is not on this machine and could not be pulled: ${messageOf(error).trim()}.`,
      { cause: error, details: { image, variable: IMAGES[kind].variable } },
    );
  }
}

/** Where the guard finds the engine; undefined if only TLS leads there, which it does not speak. */
export function engineAddress(client: ContainerRuntimeClient): EngineAddress | undefined {
  const { modem } = client.container.dockerode as {
    modem: { socketPath?: string; host?: string; port?: number | string; protocol?: string };
  };
  if (modem.socketPath !== undefined) return { socketPath: modem.socketPath };
  if (modem.protocol !== 'http' || modem.host === undefined) return undefined;
  return { host: modem.host, port: Number(modem.port) };
}
