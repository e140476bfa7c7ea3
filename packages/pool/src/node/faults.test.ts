import { createServer, type Server, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { isShardlineError, systemClock } from '@shardline/core';
import { type PostgresServer, startPostgres } from '@shardline/testkit';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { ReplicaPool } from '../index.js';

/** What breaks pools in the field, each against a real server or a real socket. */
let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres({ name: 'faults', authentication: 'scram-sha-256' });
  await server.query("CREATE ROLE bettor LOGIN PASSWORD 'right'");
});
afterAll(() => server?.stop());

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('The condition was not met in time.');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function caught(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

async function backends(): Promise<number> {
  const { rows } = await server.query(
    "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'under-test'",
  );
  return rows[0]?.['n'] as number;
}

describe('dials', () => {
  test('a name lookup that never answers ends at the deadline', async () => {
    // As when the resolver is silent: the socket neither connects nor fails.
    const silent = () =>
      Object.assign(new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() }), {
        connect() {
          return this;
        },
        setNoDelay() {},
        setKeepAlive() {},
        ref() {},
        unref() {},
      });
    await using pool = new ReplicaPool({
      host: 'never.invalid',
      stream: silent,
      dialTimeout: '60ms',
    });
    const startedAt = performance.now();
    const error = await caught(pool.connect());
    expect(isShardlineError(error, 'POOL_DIAL_TIMEOUT')).toBe(true);
    expect(performance.now() - startedAt).toBeLessThan(5000);
    expect(pool.waitingCount).toBe(0);
  });

  test('a server that accepts and says nothing ends at the deadline, and its socket is shut', async () => {
    const sockets = new Set<Socket>();
    const mute: Server = createServer((socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      socket.on('error', () => {});
      socket.resume();
    });
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    const { port } = mute.address() as { port: number };
    const pool = new ReplicaPool({ host: '127.0.0.1', port, user: 'x', dialTimeout: '50ms' });
    expect(await caught(pool.query('SELECT 1'))).toMatchObject({ code: 'POOL_DIAL_TIMEOUT' });
    await pool.end();
    await until(() => sockets.size === 0);
    await new Promise((resolve) => mute.close(resolve));
  });

  test('a connection that comes up just after the deadline leaves no backend behind', async () => {
    for (let attempt = 0; attempt < 15; attempt += 1) {
      const pool = new ReplicaPool({
        connectionString: server.url,
        application_name: 'under-test',
        dialTimeout: `${1 + attempt}ms`,
        max: 1,
      });
      const client = await pool.connect().catch(() => undefined);
      client?.release();
      await pool.end();
    }
    await until(async () => (await backends()) === 0);
  });

  test('a refused connection is a typed error at once, and a later one works', async () => {
    await using pool = new ReplicaPool({ host: '127.0.0.1', port: 1, user: 'x' });
    const error = await caught(pool.query('SELECT 1'));
    expect(error).toMatchObject({
      code: 'POOL_DIAL_FAILED',
      details: { causeCode: 'ECONNREFUSED' },
    });
  });

  test('a wrong password is not tried again by every waiter', async () => {
    let asked = 0;
    await using pool = new ReplicaPool({
      connectionString: server.connectionString({ user: 'bettor' }),
      password: () => {
        asked += 1;
        return 'wrong';
      },
      max: 4,
    });
    const errors = await Promise.all(
      Array.from({ length: 50 }, () => caught(pool.query('SELECT 1'))),
    );
    for (const error of errors) expect(error).toMatchObject({ code: 'POOL_AUTHENTICATION_FAILED' });
    for (let again = 0; again < 50; again += 1) await caught(pool.query('SELECT 1'));
    // For each of at most four dials, and once more after its refusal; it says the same, so that is not tried.
    expect(asked).toBeLessThanOrEqual(8);
  });

  test('after a refusal the password is asked for again, and tried if it is another', async () => {
    const tokens = ['expired', 'right'];
    let asked = 0;
    await using pool = new ReplicaPool({
      connectionString: server.connectionString({ user: 'bettor' }),
      password: async () => {
        asked += 1;
        return tokens.shift() ?? 'right';
      },
    });
    expect((await pool.query('SELECT current_user AS who')).rows).toEqual([{ who: 'bettor' }]);
    expect(asked).toBe(2);
  });

  test('the refusal is told when asking again fails or hangs', async () => {
    let asked = 0;
    await using pool = new ReplicaPool({
      connectionString: server.connectionString({ user: 'bettor' }),
      dialTimeout: '300ms',
      password: () => {
        asked += 1;
        if (asked === 1) return 'wrong';
        return asked === 2 ? Promise.reject(new Error('no token')) : new Promise(() => {});
      },
    });
    expect(await caught(pool.query('SELECT 1'))).toMatchObject({
      code: 'POOL_AUTHENTICATION_FAILED',
    });
  });

  test('an async password is asked for each dial', async () => {
    let asked = 0;
    await using pool = new ReplicaPool({
      connectionString: server.connectionString({ user: 'bettor' }),
      password: async () => {
        asked += 1;
        return 'right';
      },
    });
    for (let round = 0; round < 3; round += 1) {
      const client = await pool.connect();
      client.release(true);
    }
    expect(asked).toBe(3);
  });

  test('a server without TLS, asked for TLS, says what to do', async () => {
    await using pool = new ReplicaPool({ connectionString: server.url, ssl: { ca: 'none' } });
    expect(await caught(pool.query('SELECT 1'))).toMatchObject({ code: 'POOL_TLS_REFUSED' });
  });
});

describe('aborts and timeouts', () => {
  test('an abort answers a waiter at once', async () => {
    await using pool = new ReplicaPool({ connectionString: server.url, max: 1 });
    const held = await pool.connect();
    const controller = new AbortController();
    const waiting = caught(pool.query({ text: 'SELECT 1', signal: controller.signal }));
    await until(() => pool.waitingCount === 1);
    controller.abort();
    expect(await waiting).toMatchObject({ code: 'ABORTED' });
    expect(pool.waitingCount).toBe(0);
    held.release();
  });

  test('an abort cancels on the server, and the connection is kept', async () => {
    await using pool = new ReplicaPool({ connectionString: server.url, max: 1 });
    const before = (await pool.query('SELECT pg_backend_pid() AS pid')).rows[0].pid;
    const controller = new AbortController();
    const running = caught(pool.query({ text: 'SELECT pg_sleep(30)', signal: controller.signal }));
    await until(async () => {
      const { rows } = await server.query(
        "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)' AND state = 'active'",
      );
      return rows.length === 1;
    });
    controller.abort();
    expect(await running).toMatchObject({ code: 'ABORTED' });
    expect((await pool.query('SELECT pg_backend_pid() AS pid')).rows[0].pid).toBe(before);
  });

  test.each([
    { pipeline: false, by: 'one statement per connection', atLeast: 20 },
    { pipeline: true, by: 'pipelined', atLeast: 1 },
  ])('one signal serves as many calls as its caller likes, $by', async ({ pipeline, atLeast }) => {
    const warnings: string[] = [];
    const onWarning = (warning: Error) => warnings.push(warning.message);
    process.on('warning', onWarning);
    onTestFinished(() => void process.off('warning', onWarning));
    await using pool = new ReplicaPool({ connectionString: server.url, max: 20, pipeline });
    const { signal } = new AbortController();
    await server.withClient(async (holder) => {
      await holder.query('SELECT pg_advisory_lock(42)');
      const text = 'SELECT pg_advisory_xact_lock_shared(42)';
      const running = Array.from({ length: 20 }, () => pool.query({ text, signal }));
      await until(async () => {
        const { rows } = await server.query(
          "SELECT FROM pg_stat_activity WHERE wait_event = 'advisory'",
        );
        return rows.length >= atLeast;
      });
      await holder.query('SELECT pg_advisory_unlock(42)');
      await Promise.all(running);
    });
    expect(warnings).toEqual([]);
  });

  test('a write that is cut off in flight has an unknown outcome', async () => {
    await using pool = new ReplicaPool({ connectionString: server.url, max: 1 });
    await server.query('CREATE TABLE cut (id int)');
    const pid = (await pool.query('SELECT pg_backend_pid() AS pid')).rows[0].pid;
    const writing = caught(pool.query('INSERT INTO cut SELECT 1 FROM pg_sleep(30)'));
    await until(async () => {
      const { rows } = await server.query(
        "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'",
        [pid],
      );
      return rows.length === 1;
    });
    await server.query('SELECT pg_terminate_backend($1)', [pid]);
    expect(await writing).toMatchObject({ code: 'POOL_OUTCOME_UNKNOWN', retryable: false });
  });

  test('a statement timeout is kept by the server, and the connection survives it', async () => {
    await using pool = new ReplicaPool({
      connectionString: server.url,
      max: 1,
      statementTimeout: '50ms',
    });
    expect(await caught(pool.query('SELECT pg_sleep(30)'))).toMatchObject({ code: '57014' });
    expect((await pool.query('SELECT 1 AS fine')).rows).toEqual([{ fine: 1 }]);
    expect(pool.totalCount).toBe(1);
  });

  test('a statement timeout is kept by the client where the server is given none', async () => {
    await using pool = new ReplicaPool({
      connectionString: server.url,
      max: 1,
      pgBouncer: true,
      statementTimeout: '50ms',
    });
    // On a machine that takes a second to cancel, nobody can say whether it took place.
    const code = expect.stringMatching(/^POOL_(STATEMENT_TIMEOUT|OUTCOME_UNKNOWN)$/);
    expect(await caught(pool.query('SELECT pg_sleep(30)'))).toMatchObject({ code });
    expect((await pool.query('SELECT 1 AS fine')).rows).toEqual([{ fine: 1 }]);
  });

  test('an error of the driver stays what it is, though the connection is closed after it', async () => {
    await using pool = new ReplicaPool({ connectionString: server.url, closeOnQueryError: true });
    const types = {
      getTypeParser: () => () => {
        throw new Error('No such stake.');
      },
    };
    const error = await caught(pool.query({ text: 'SELECT 1', types: types as never }));
    expect(error).toMatchObject({ message: 'No such stake.' });
    expect(isShardlineError(error)).toBe(false);
    await until(() => pool.totalCount === 0);
  });
});

describe('a raw client, as one server lends it', () => {
  test('takes a signal and a target in a query, and stays a client of the driver', async () => {
    await using pool = new ReplicaPool({
      primary: { connectionString: server.url, name: 'only' },
      max: 1,
    });
    const client = await pool.connect();
    expect(client).toBeInstanceOf(pg.Client);
    const giveUp = new AbortController();
    const sleeping = caught(
      client.query({ text: 'SELECT pg_sleep(30)', signal: giveUp.signal } as pg.QueryConfig),
    );
    await until(async () => (await countSleepers()) === 1);
    giveUp.abort();
    expect(await sleeping).toMatchObject({
      code: expect.stringMatching(/^(ABORTED|POOL_OUTCOME_UNKNOWN)$/),
    });
    expect((await client.query('SELECT 1 AS fine')).rows).toEqual([{ fine: 1 }]);
    const at = (node: string) =>
      client.query({
        text: 'SELECT $1::int AS n',
        values: [7],
        target: { node },
      } as pg.QueryConfig);
    expect((await at('only')).rows).toEqual([{ n: 7 }]);
    expect(await caught(at('other'))).toMatchObject({ code: 'POOL_NO_REPLICA' });
    const called = await new Promise((resolve) => {
      const config = { text: 'SELECT 3 AS n', target: 'primary' } as pg.QueryConfig;
      client.query(config, (_error: Error, result: pg.QueryResult) => resolve(result.rows));
    });
    expect(called).toEqual([{ n: 3 }]);
    client.release();
  });
});

async function countSleepers(): Promise<number> {
  const { rows } = await server.query(
    "SELECT count(*)::int AS n FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'",
  );
  return Number(rows[0]?.n);
}

describe('a frozen server', () => {
  test('does not hang whoever waits, and heals', async () => {
    const frozen = await startPostgres({ name: 'frozen' });
    const pool = new ReplicaPool({
      connectionString: frozen.url,
      max: 2,
      acquireTimeout: '200ms',
      validateAfterIdle: '0ms',
      statementTimeout: '100ms',
    });
    await until(async () => (await caught(pool.query('SELECT 1'))) === undefined);
    await frozen.freeze();
    const startedAt = systemClock.monotonicMs();
    const errors = await Promise.all(
      Array.from({ length: 10 }, () => caught(pool.query('SELECT 1'))),
    );
    for (const error of errors) expect(isShardlineError(error)).toBe(true);
    expect(systemClock.monotonicMs() - startedAt).toBeLessThan(10_000);
    await frozen.thaw();
    await until(async () => (await caught(pool.query('SELECT 1'))) === undefined);
    await pool.end();
    await frozen.stop();
  });
});
