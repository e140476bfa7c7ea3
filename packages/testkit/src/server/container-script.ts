import type { ServerPlace, ServerSpec } from './server.js';

/** The server's own folder inside its container. */
export const CONTAINER_FOLDER = '/tmp/shardline';

/**
 * `nobody`, by number. PostgreSQL refuses root; every image has this user; and it needs no rights
 * beyond its folder, which it makes itself.
 */
export const CONTAINER_USER = '65534:65534';

/** What runs in a container. */
export interface ContainerScript {
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * A container's first process is a shell that makes the server's files from variables, seeds its
 * folder once, and then becomes the server. Nothing is copied into the container, so it also works
 * where the engine does not share this machine's files. Pure.
 */
export function containerScript(spec: ServerSpec): ContainerScript {
  const place: ServerPlace = {
    folder: CONTAINER_FOLDER,
    port: spec.port,
    binary: (name) => name, // Every image has its programs on PATH.
  };
  const files = Object.entries(spec.files?.(place) ?? {});
  const variables = files.map((_, index) => `SHARDLINE_FILE_${index}`);
  const lines = [
    'set -eu',
    'umask 077',
    `mkdir -p ${CONTAINER_FOLDER}`,
    `cd ${CONTAINER_FOLDER}`,
    'if [ ! -e .seeded ]; then',
    ...files.map(([name], index) => `printf '%s' "$${variables[index]}" > '${name}'`),
    spec.seedScript?.(place) ?? '',
    ': > .seeded',
    'fi',
    ...variables.map((variable) => `unset ${variable}`),
    'exec "$@"',
  ];
  return {
    entrypoint: ['/bin/sh', '-c', lines.filter(Boolean).join('\n'), 'shardline'],
    command: [...spec.command(place)],
    environment: {
      LC_ALL: 'C',
      TZ: 'UTC',
      ...spec.environment,
      ...Object.fromEntries(
        files.map(([, content], index) => [`SHARDLINE_FILE_${index}`, content]),
      ),
    },
  };
}
