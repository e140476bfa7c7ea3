import { connect } from 'node:net';
import { checkOptions, integerOption } from '@shardline/core';
import * as v from 'valibot';
import { chooseBackend } from '../server/choose-backend.js';
import { DelegatingServer } from '../server/delegating-server.js';
import { startOnFreePort } from '../server/free-port.js';
import type { Endpoint, ServerPlace } from '../server/server.js';
import { serverNameOption } from '../server/server-name.js';
import { startTogether, stopTogether } from '../server/start-together.js';

/** How a Memcached is started. */
export interface MemcachedOptions {
  /** For logs, folders and messages. @default 'memcached' */
  readonly name?: string;
  /** Memory for items. @default 64 */
  readonly memoryMegabytes?: number;
  /** Largest item; 1 MiB is the server's own default. @default 1048576 */
  readonly maxItemBytes?: number;
  /** Further arguments of the program: `['-o', 'modern']`. */
  readonly arguments?: readonly string[];
  /** Gives up a start that is under way. */
  readonly signal?: AbortSignal;
}

const MEBIBYTE = 1024 * 1024;

const schema = v.strictObject({
  name: v.optional(serverNameOption, 'memcached'),
  memoryMegabytes: v.optional(integerOption(8, 4096), 64),
  maxItemBytes: v.optional(integerOption(1024, 128 * MEBIBYTE), MEBIBYTE),
  arguments: v.optional(v.array(v.string()), []),
  signal: v.optional(v.instance(AbortSignal)),
});

/** A frozen server must not hang a test. */
const ANSWER_WITHIN_MS = 5_000;

/** A Memcached that tests can hurt. */
export class MemcachedServer extends DelegatingServer {
  /** As clients want it: `127.0.0.1:15123`. */
  get address(): string {
    return `${this.host}:${this.port}`;
  }

  /** What `stats` says, by name. */
  async stats(): Promise<ReadonlyMap<string, string>> {
    const answer = await ask(this, 'stats', /(^|\r\n)END\r\n$/);
    const lines = answer.split('\r\n').map((line) => /^STAT (\S+) (.*)$/.exec(line));
    return new Map(
      lines.flatMap((match) => (match === null ? [] : [[match[1] ?? '', match[2] ?? '']])),
    );
  }

  /** Makes every item invalid. */
  async flush(): Promise<void> {
    await ask(this, 'flush_all', /^OK\r\n$/);
  }
}

/**
 * Starts a Memcached.
 *
 * @throws ShardlineError `CONFIG_INVALID`, `TESTKIT_BINARY_MISSING`, `TESTKIT_NOT_READY`.
 *
 * @example
 * ```ts
 * import { startMemcached } from '@shardline/testkit';
 *
 * await using memcached = await startMemcached({ memoryMegabytes: 16 });
 * const stats = await memcached.stats();
 * console.error(stats.get('version'));
 * ```
 */
export async function startMemcached(options: MemcachedOptions = {}): Promise<MemcachedServer> {
  const checked = checkOptions(schema, options, 'startMemcached');
  const backend = await chooseBackend('memcached');
  const server = await startOnFreePort((port) =>
    backend.start({
      kind: 'memcached',
      name: checked.name,
      port,
      command: (place) => commandLine(place, checked),
      isReady: async (endpoint) => (await ask(endpoint, 'version', /\r\n$/)).startsWith('VERSION'),
      ...(checked.signal === undefined ? {} : { signal: checked.signal }),
    }),
  );
  return new MemcachedServer(server);
}

/** Several Memcached nodes. */
export class MemcachedNodes implements AsyncDisposable {
  readonly nodes: readonly MemcachedServer[];

  /** @internal Use startMemcachedNodes(). */
  constructor(nodes: readonly MemcachedServer[]) {
    this.nodes = nodes;
  }

  /** As clients want them. */
  get addresses(): readonly string[] {
    return this.nodes.map((node) => node.address);
  }

  /** Ends all of them and removes everything of them. */
  stop(): Promise<void> {
    return stopTogether(this.nodes);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/**
 * Starts several Memcached side by side, named `memcached-0`, `memcached-1` and so on.
 *
 * @throws ShardlineError as startMemcached().
 *
 * @example
 * ```ts
 * import { startMemcachedNodes } from '@shardline/testkit';
 *
 * await using ring = await startMemcachedNodes(3);
 * console.error(ring.addresses.join(','));
 * ```
 */
export async function startMemcachedNodes(
  count: number,
  options: MemcachedOptions = {},
): Promise<MemcachedNodes> {
  checkOptions(v.strictObject({ count: integerOption(1, 64) }), { count }, 'startMemcachedNodes');
  const name = options.name ?? 'memcached';
  const nodes = await startTogether(
    Array.from(
      { length: count },
      (_, index) => () => startMemcached({ ...options, name: `${name}-${index}` }),
    ),
  );
  return new MemcachedNodes(nodes);
}

function commandLine(place: ServerPlace, options: v.InferOutput<typeof schema>): string[] {
  return [
    place.binary('memcached'),
    ...['-l', '127.0.0.1', '-p', String(place.port), '-U', '0'],
    ...['-m', String(options.memoryMegabytes), '-I', String(options.maxItemBytes)],
    // Only heeded where it is started by root, as in some images; it refuses to serve as root.
    ...['-u', 'nobody'],
    // Two threads: the default of four serves no test better.
    ...['-t', '2'],
    ...options.arguments,
  ];
}

/** Sends one line of the text protocol and reads until the answer is complete. */
async function ask(endpoint: Endpoint, line: string, complete: RegExp): Promise<string> {
  const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
  const socket = connect({ host: endpoint.host, port: endpoint.port, signal });
  socket.write(`${line}\r\n`);
  let answer = '';
  // Leaving the loop destroys the socket.
  for await (const data of socket) {
    answer += (data as Buffer).toString('latin1');
    if (complete.test(answer)) return answer;
  }
  throw new Error(`Memcached closed the connection in the middle of its answer to '${line}'`);
}
