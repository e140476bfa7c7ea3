import { isShardlineError, ManualClock, systemClock } from '@shardline/core';
import { furthestFirst, type PostgresServer, startPostgres } from '@shardline/testkit';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { TopologyMonitor } from './monitor.js';
import type { MonitoredNode } from './monitor-options.js';
import type { ProbeResult } from './node-state.js';
import { probeSql, probeValues, readProbe } from './probe.js';

/** Asks over one connection per server, opened again after a failure. */
class Asker implements MonitoredNode {
  #client: Client | undefined;
  onPush: (inHotStandby: boolean) => void = () => {};

  constructor(
    readonly name: string,
    readonly url: string,
  ) {}

  readonly probe = async (signal: AbortSignal): Promise<ProbeResult> => {
    const client = this.#client ?? (await this.#open());
    this.#client = client;
    const drop = () => {
      if (this.#client === client) this.#client = undefined;
      (
        client as unknown as { connection: { stream: { destroy(): void } } }
      ).connection.stream.destroy();
    };
    signal.addEventListener('abort', drop, { once: true });
    try {
      const { rows } = await client.query(probeSql, probeValues(undefined));
      return readProbe(rows[0]);
    } catch (error) {
      drop();
      throw error;
    } finally {
      signal.removeEventListener('abort', drop);
    }
  };

  close(): void {
    void this.#client?.end().catch(() => undefined);
    this.#client = undefined;
  }

  async #open(): Promise<Client> {
    const client = new Client({ connectionString: this.url, connectionTimeoutMillis: 1000 });
    client.on('error', () => {
      if (this.#client === client) this.#client = undefined;
    });
    (client as unknown as { connection: NodeJS.EventEmitter }).connection.on(
      'parameterStatus',
      (status: { parameterName: string; parameterValue: string }) => {
        if (status.parameterName === 'in_hot_standby') this.onPush(status.parameterValue === 'on');
      },
    );
    await client.connect();
    return client;
  }
}

const soon = { timeout: 30_000, interval: 10 };

/** What a test starts, ended after it. */
const started: { close(): void }[] = [];

function watch(servers: readonly PostgresServer[], intervalMs = 100): TopologyMonitor {
  const nodes = servers.map((server) => new Asker(server.name, server.url));
  const monitor = new TopologyMonitor({
    nodes,
    clock: systemClock,
    intervals: { intervalMs, panicIntervalMs: 20, timeoutMs: 500 },
  });
  for (const node of nodes) {
    node.onPush = (inHotStandby) => monitor.noteParameterStatus(node.name, inHotStandby);
    started.push(node);
  }
  started.push({ close: () => monitor.stop() });
  monitor.start();
  return monitor;
}

afterEach(() => {
  for (const item of started.splice(0).reverse()) item.close();
});

describe('the monitor over a primary and two replicas', () => {
  let primary: PostgresServer;
  let first: PostgresServer;
  let second: PostgresServer;

  beforeAll(async () => {
    primary = await startPostgres({ name: 'watched' });
    first = await primary.addReplica({ name: 'watched-r1' });
    second = await primary.addReplica({ name: 'watched-r2' });
  });
  afterAll(async () => {
    for (const server of [second, first, primary]) await server?.stop();
  });

  test('finds who is what, on which timeline, at which position', async () => {
    const monitor = watch([primary, first, second]);
    expect(await monitor.whenPrimaryKnown({ timeoutMs: 10_000 })).toBe('watched');
    await vi.waitFor(() => {
      expect(monitor.state.replicas).toEqual(['watched-r1', 'watched-r2']);
    }, soon);
    expect(monitor.state.timeline).toBe(1);
    await primary.query('CREATE TABLE IF NOT EXISTS seen (n int)');
    await monitor.refresh('watched');
    const position = monitor.states().get('watched')?.position;
    expect(position).toBeDefined();
    const reached = await monitor.catchUp.whenReached(['watched-r1'], position as never, {
      timeoutMs: 10_000,
    });
    expect(reached).toBe('watched-r1');
  });

  test('does not find what is beyond all logs, and says so in time', async () => {
    const monitor = watch([primary, first, second]);
    await monitor.whenPrimaryKnown({ timeoutMs: 10_000 });
    const beyond = { timeline: 1, lsn: 2n ** 60n };
    expect(
      await monitor.catchUp.whenReached(['watched-r1'], beyond, { timeoutMs: 50 }),
    ).toBeUndefined();
  });

  test('keeps the proof at hand for a position that is expected', async () => {
    const monitor = watch([primary, first, second], 60_000);
    await monitor.whenPrimaryKnown({ timeoutMs: 10_000 });
    await vi.waitFor(() => expect(monitor.state.replicas).toHaveLength(2), soon);
    await primary.query('INSERT INTO seen VALUES (1)');
    await monitor.refresh('watched');
    const position = monitor.states().get('watched')?.position as { lsn: bigint; timeline: number };
    monitor.catchUp.expect(position);
    await vi.waitFor(() => {
      for (const name of monitor.state.replicas) {
        expect((monitor.states().get(name)?.position?.lsn ?? 0n) >= position.lsn).toBe(true);
      }
    }, soon);
  });

  test('leaves a frozen replica aside until it thaws', async () => {
    const monitor = watch([primary, first, second]);
    await vi.waitFor(() => expect(monitor.state.replicas).toHaveLength(2), soon);
    await second.freeze();
    try {
      await vi.waitFor(() => expect(monitor.state.replicas).toEqual(['watched-r1']), soon);
      expect(monitor.states().get('watched-r2')?.fault).toBe('unreachable');
    } finally {
      await second.thaw();
    }
    await vi.waitFor(() => expect(monitor.state.replicas).toHaveLength(2), soon);
  });

  test('tells a server of another cluster apart', async () => {
    await using stranger = await startPostgres({ name: 'stranger', ownIdentity: true });
    const monitor = watch([primary, first, stranger]);
    await vi.waitFor(() => {
      expect(monitor.states().get('stranger')?.fault).toBe('other-cluster');
    }, soon);
    expect(monitor.state.primary).toBe('watched');
  });
});

describe('promotion', () => {
  test('is followed, and the old primary never comes back', async () => {
    await using primary = await startPostgres({ name: 'elder' });
    await using first = await primary.addReplica({ name: 'elder-r1' });
    await using second = await primary.addReplica({ name: 'elder-r2' });
    await primary.query('CREATE TABLE seen (id int)');
    const monitor = watch([primary, first, second]);
    expect(await monitor.whenPrimaryKnown({ timeoutMs: 10_000 })).toBe('elder');
    await primary.kill();
    await vi.waitFor(() => expect(monitor.state.primary).toBeUndefined(), soon);
    const next = monitor.whenPrimaryKnown({ timeoutMs: 30_000 });
    const [heir, sibling] = (await furthestFirst([first, second])) as [
      PostgresServer,
      PostgresServer,
    ];
    await heir.promote();
    expect(await next).toBe(heir.name);
    expect(monitor.state.timeline).toBe(2);
    // Before the old primary is back, whose history it would else receive more of.
    await sibling.follow(heir);
    await vi.waitFor(() => expect(monitor.state.replicas).toEqual([sibling.name]), soon);
    await primary.restart();
    await vi.waitFor(() => {
      expect(monitor.states().get('elder')?.fault).toBe('stale-primary');
    }, soon);
    expect(monitor.state.primary).toBe(heir.name);
    expect(monitor.state.replicas).toEqual([sibling.name]);
  });

  test('of two replicas to one timeline is refused, with an error of its own', async () => {
    await using primary = await startPostgres({ name: 'split' });
    await using first = await primary.addReplica({ name: 'split-r1' });
    await using second = await primary.addReplica({ name: 'split-r2' });
    await primary.kill();
    await first.promote();
    await second.promote();
    const monitor = watch([first, second]);
    await vi.waitFor(() => expect(monitor.state.noPrimaryReason).toBe('split-brain'), soon);
    const error = await monitor.whenPrimaryKnown({ timeoutMs: 5000 }).catch((e: unknown) => e);
    expect(isShardlineError(error, 'POOL_SPLIT_BRAIN')).toBe(true);
    expect((error as Error).message).toContain('split-r2');
  });
});

describe('the push of in_hot_standby', () => {
  test('brings a promotion to light long before the next question is due', async () => {
    await using primary = await startPostgres({ name: 'pushing' });
    await using replica = await primary.addReplica();
    const monitor = watch([primary, replica], 600_000);
    await vi.waitFor(() => {
      expect(monitor.state).toMatchObject({ primary: 'pushing', replicas: [replica.name] });
    }, soon);
    // A server pushes when it next answers anybody on that connection: traffic brings the news.
    const traffic = new Asker(replica.name, replica.url);
    traffic.onPush = (inHotStandby) => monitor.noteParameterStatus(replica.name, inHotStandby);
    started.push(traffic);
    await traffic.probe(new AbortController().signal);
    expect(monitor.state.primary).toBe('pushing');
    await replica.promote();
    await traffic.probe(new AbortController().signal);
    await vi.waitFor(() => expect(monitor.state.primary).toBe(replica.name), soon);
  });
});

describe('the monitor by a clock of the test', () => {
  const primaryAnswer: ProbeResult = {
    role: 'primary',
    timeline: 1,
    lsn: 10n,
    receivedLsn: undefined,
    replayAgeMs: 0,
    systemIdentifier: '1',
    startedAt: '1',
    snapshotXmax: 1n,
    snapshotXmin: 1n,
  };

  function scripted(answer: () => Promise<ProbeResult>) {
    const clock = new ManualClock();
    let asked = 0;
    const probe = () => {
      asked += 1;
      return answer();
    };
    const monitor = new TopologyMonitor({ nodes: [{ name: 'a', probe }], clock });
    monitor.start();
    return { clock, monitor, asked: () => asked };
  }

  test('asks every second while all is well, every 100 ms while there is no primary', async () => {
    let isUp = true;
    const refused = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
    const { clock, monitor, asked } = scripted(() =>
      isUp ? Promise.resolve(primaryAnswer) : Promise.reject(refused),
    );
    await clock.advance(5000);
    expect(asked()).toBe(6);
    isUp = false;
    await clock.advance(1000);
    expect(monitor.state.primary).toBeUndefined();
    const before = asked();
    await clock.advance(1000);
    expect(asked() - before).toBeGreaterThanOrEqual(9);
    isUp = true;
    await clock.advance(100);
    expect(monitor.state.primary).toBe('a');
    monitor.stop();
    expect(clock.pending).toBe(0);
  });

  test('a server that never answers costs its deadline, and a waiter is told who was asked', async () => {
    const { clock, monitor } = scripted(() => new Promise(() => {}));
    const waited = monitor.whenPrimaryKnown({ timeoutMs: 3000 }).catch((e: unknown) => e);
    await clock.advance(3500);
    const error = await waited;
    expect(isShardlineError(error, 'POOL_NO_PRIMARY')).toBe(true);
    expect((error as Error).message).toContain('a: unreachable');
    monitor.stop();
  });

  test('a refused write makes the primary unknown until it has been asked again', async () => {
    const { clock, monitor } = scripted(() => Promise.resolve(primaryAnswer));
    await clock.advance(10);
    monitor.noteReadOnlyError('a');
    expect(monitor.state.primary).toBeUndefined();
    expect(monitor.states().get('a')?.fault).toBe('refused-write');
    await clock.advance(1);
    expect(monitor.state.primary).toBe('a');
    monitor.stop();
  });

  test('a lost connection makes everything about the server unknown until it has been asked again', async () => {
    const { clock, monitor } = scripted(() => Promise.resolve(primaryAnswer));
    await clock.advance(10);
    monitor.noteConnectionLost('a');
    expect(monitor.state.primary).toBeUndefined();
    await clock.advance(1);
    expect(monitor.state.primary).toBe('a');
    monitor.stop();
  });

  test('stopping sends away who waits', async () => {
    const { monitor } = scripted(() => new Promise(() => {}));
    const waited = monitor.whenPrimaryKnown({ timeoutMs: 3000 }).catch((e: unknown) => e);
    await new Promise((resolve) => setImmediate(resolve));
    monitor.stop();
    expect(isShardlineError(await waited, 'CLOSED')).toBe(true);
  });
});
