import { ShardlineError } from '@shardline/core';
import { testkitErrors } from '../errors.js';
import type { Endpoint } from '../server/server.js';
import { stopTogether } from '../server/start-together.js';
import { waitUntil } from '../server/wait-until.js';
import type { RedisServer } from './redis-server.js';
import { type RedisWait, WAIT_WITHIN } from './redis-wait.js';

/** A failover that was asked for and did not come about by then was given up by the Sentinel. */
const FAILOVER_RETRY_MS = 15_000;

/** A primary with replicas, watched by Sentinels that put a replica in its place if it fails. */
export class RedisSentinel implements AsyncDisposable {
  readonly name: string;
  /** The name under which the Sentinels know the primary. */
  readonly masterName: string;
  /** The servers that hold data, the primary of the beginning first. */
  readonly servers: readonly RedisServer[];
  readonly sentinels: readonly RedisServer[];

  /** @internal Use startRedisSentinel(). */
  constructor(parts: {
    readonly name: string;
    readonly masterName: string;
    readonly servers: readonly RedisServer[];
    readonly sentinels: readonly RedisServer[];
  }) {
    this.name = parts.name;
    this.masterName = parts.masterName;
    this.servers = parts.servers;
    this.sentinels = parts.sentinels;
  }

  /** Where a client asks for the primary. */
  get sentinelEndpoints(): readonly Endpoint[] {
    return this.sentinels.map(({ host, port }) => ({ host, port }));
  }

  /** Password of the servers that hold data; the Sentinels have none. */
  get password(): string | undefined {
    return this.servers[0]?.password;
  }

  /**
   * Whom the Sentinels that run name as primary.
   *
   * @throws ShardlineError `TESTKIT_SERVER_STATE` while they do not agree.
   */
  async primary(): Promise<RedisServer> {
    const ports = new Set(await this.#primaryPorts());
    const [port] = ports;
    const server = this.servers.find((one) => one.port === port);
    if (ports.size === 1 && server !== undefined) return server;
    throw new ShardlineError(
      testkitErrors.TESTKIT_SERVER_STATE,
      `The Sentinels of ${this.name} do not agree on a primary (they name ports ${[...ports].join(', ') || 'none'}).`,
    );
  }

  /** All servers that hold data but the primary, those that are down included. */
  async replicas(): Promise<RedisServer[]> {
    const primary = await this.primary();
    return this.servers.filter((server) => server !== primary);
  }

  /**
   * Waits until the Sentinels that run agree on a primary and on each other, and every replica that
   * runs streams from it. Servers that a test has taken down are not waited for.
   *
   * @throws ShardlineError `TESTKIT_WAIT_EXPIRED`, saying what was amiss at the end.
   */
  async waitUntilStable(options: RedisWait = {}): Promise<void> {
    await waitUntil(
      async () => {
        const primary = await this.primary();
        await this.#expectReplication(primary);
        for (const sentinel of this.#runningSentinels()) {
          await this.#expectKnowledge(sentinel);
          await this.#expectReplicasKnown(sentinel, primary);
        }
        return true;
      },
      {
        what: `Sentinel group ${this.name} to be stable`,
        within: WAIT_WITHIN,
        everyMs: 50,
        ...options,
      },
    );
  }

  /** Waits until the Sentinels agree on another primary and it takes writes. */
  async waitForFailover(former: RedisServer, options: RedisWait = {}): Promise<RedisServer> {
    return waitUntil(() => this.#successorOf(former), {
      what: `the Sentinels to put another in the place of ${former.name}`,
      within: WAIT_WITHIN,
      everyMs: 50,
      ...options,
    });
  }

  /** Has the Sentinels put a replica in the place of a primary that is well. */
  async failOver(options: RedisWait = {}): Promise<RedisServer> {
    const former = await this.primary();
    const [sentinel] = this.#runningSentinels();
    if (sentinel === undefined) {
      throw new ShardlineError(
        testkitErrors.TESTKIT_SERVER_STATE,
        `No Sentinel of ${this.name} runs.`,
      );
    }
    let askedAt = Number.NEGATIVE_INFINITY;
    return waitUntil(
      async () => {
        if (performance.now() - askedAt > FAILOVER_RETRY_MS) {
          // Refused while an earlier failover is not over, or while no replica is known to be good.
          await sentinel.command('SENTINEL', 'FAILOVER', this.masterName);
          askedAt = performance.now();
        }
        return this.#successorOf(former);
      },
      {
        what: `the Sentinels to fail over from ${former.name}`,
        within: WAIT_WITHIN,
        everyMs: 50,
        ...options,
      },
    );
  }

  /** Ends all servers and removes everything of them. */
  async stop(): Promise<void> {
    // The Sentinels first, or they would begin to fail over from what is being stopped.
    await stopTogether(this.sentinels);
    await stopTogether(this.servers);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #successorOf(former: RedisServer): Promise<RedisServer> {
    const primary = await this.primary();
    if (primary === former) throw new Error(`the Sentinels still name ${former.name}`);
    const role = (await primary.info('replication')).get('role');
    if (role !== 'master') throw new Error(`${primary.name} is a ${role}`);
    return primary;
  }

  #runningSentinels(): RedisServer[] {
    return this.sentinels.filter((sentinel) => sentinel.state === 'running');
  }

  async #primaryPorts(): Promise<number[]> {
    const answers = await Promise.all(
      this.#runningSentinels().map((sentinel) =>
        sentinel.command('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', this.masterName),
      ),
    );
    return answers.map((answer) => Number((answer as string[] | null)?.[1] ?? 0));
  }

  async #expectReplication(primary: RedisServer): Promise<void> {
    for (const server of this.servers) {
      if (server === primary || server.state !== 'running') continue;
      const replication = await server.info('replication');
      const source = Number(replication.get('master_port'));
      if (source !== primary.port)
        throw new Error(`${server.name} does not follow ${primary.name}`);
      if (replication.get('master_link_status') !== 'up') {
        throw new Error(`${server.name} does not stream from ${primary.name}`);
      }
    }
  }

  async #expectKnowledge(sentinel: RedisServer): Promise<void> {
    const known = fieldsOf(await sentinel.command('SENTINEL', 'MASTER', this.masterName));
    if (known.get('flags') !== 'master') {
      throw new Error(`${sentinel.name} sees the primary as ${known.get('flags')}`);
    }
    const others = Number(known.get('num-other-sentinels'));
    if (others < this.sentinels.length - 1) {
      throw new Error(`${sentinel.name} knows ${others} of ${this.sentinels.length - 1} Sentinels`);
    }
  }

  /**
   * What a Sentinel believes of the replicas matters as much as what they are: one that still takes
   * a former primary for a primary will correct it later, even after it was promoted once more.
   */
  async #expectReplicasKnown(sentinel: RedisServer, primary: RedisServer): Promise<void> {
    const answer = await sentinel.command('SENTINEL', 'REPLICAS', this.masterName);
    const known = new Map(
      (answer as unknown[]).map(fieldsOf).map((fields) => [Number(fields.get('port')), fields]),
    );
    for (const server of this.servers) {
      if (server === primary) continue;
      const fields = known.get(server.port);
      if (fields === undefined) throw new Error(`${sentinel.name} does not know ${server.name}`);
      if (server.state !== 'running') continue;
      const belief = `${fields.get('flags')} ${fields.get('role-reported')}`;
      const link = `${fields.get('master-link-status')} to ${fields.get('master-port')}`;
      if (belief !== 'slave slave' || link !== `ok to ${primary.port}`) {
        throw new Error(`${sentinel.name} sees ${server.name} as ${belief}, link ${link}`);
      }
    }
  }
}

/** Reads Redis's flat list of names and values. */
function fieldsOf(answer: unknown): ReadonlyMap<string, string> {
  const flat = answer as string[];
  return new Map(
    flat.flatMap((name, index) => (index % 2 === 0 ? [[name, flat[index + 1] ?? '']] : [])),
  );
}
