import type { Backend, Server, ServerPlace, ServerSpec } from '../server/server.js';
import type { Certificate } from './certificate.js';
import { TLS_FILES } from './redis-configuration.js';
import { type RedisAccess, redisSession } from './redis-session.js';

/** One redis-server process. */
export interface RedisLaunch {
  readonly name: string;
  readonly port: number;
  readonly access: RedisAccess;
  readonly signal?: AbortSignal | undefined;
  readonly tls?: Certificate | undefined;
  readonly configuration: (place: ServerPlace, hasDebugDirective: boolean) => string;
}

const DEBUG_DIRECTIVE = 'enable-debug-command';

/** Backends whose Redis is older than 7.0: there DEBUG needs no directive, and knows none. */
const withoutDebugDirective = new WeakSet<Backend>();

/** Starts a Redis whose configuration is its own file, with DEBUG allowed from this machine. */
export async function launchRedis(backend: Backend, launch: RedisLaunch): Promise<Server> {
  if (!withoutDebugDirective.has(backend)) {
    try {
      return await backend.start(redisSpec(launch, true));
    } catch (error) {
      // Nothing else tells the release before it starts, whichever backend it is.
      if (!(error instanceof Error) || !error.message.includes(DEBUG_DIRECTIVE)) throw error;
      withoutDebugDirective.add(backend);
    }
  }
  return backend.start(redisSpec(launch, false));
}

/** Starts a Sentinel. */
export function launchSentinel(
  backend: Backend,
  launch: Omit<RedisLaunch, 'configuration' | 'tls' | 'access'> & {
    readonly configuration: (place: ServerPlace) => string;
  },
): Promise<Server> {
  return backend.start({
    ...common(launch, {}),
    command: (place) => [
      place.binary('redis-server'),
      `${place.folder}/sentinel.conf`,
      '--sentinel',
    ],
    files: (place) => ({ 'sentinel.conf': launch.configuration(place) }),
  });
}

function redisSpec(launch: RedisLaunch, hasDebugDirective: boolean): ServerSpec {
  return {
    ...common(launch, launch.access),
    command: (place) => [place.binary('redis-server'), `${place.folder}/redis.conf`],
    files: (place) => ({
      'redis.conf': launch.configuration(place, hasDebugDirective),
      ...(launch.tls === undefined
        ? {}
        : { [TLS_FILES.certificate]: launch.tls.certificate, [TLS_FILES.key]: launch.tls.key }),
    }),
  };
}

function common(launch: Omit<RedisLaunch, 'configuration' | 'access'>, access: RedisAccess) {
  return {
    kind: 'redis',
    name: launch.name,
    port: launch.port,
    // While it loads its data it answers PING with an error, which counts as not yet.
    isReady: async (endpoint) =>
      (await redisSession(endpoint, access, (call) => call('PING'))) === 'PONG',
    ...(launch.signal === undefined ? {} : { signal: launch.signal }),
  } satisfies Partial<ServerSpec>;
}
