/**
 * A whole day of an operator with the built command: a catalog and two shards are made, a third one is added while writers
 * write, a move is interrupted and resumed, held and released, rolled back, given up. Every acknowledged write is there once.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRouter, type Router } from '@shardline/shard-router';
import { type PostgresServer, startPostgres } from '@shardline/testkit';

import { administratorRouterOptionsOf } from 'shardline';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Ended, type Running, startCommand } from './command.js';

const SHARDS = ['users-1', 'users-2', 'users-3'] as const;
const CANARY = 'canary-b6f2c1';
const KEYS = 3000;

let servers: Record<string, PostgresServer>;
let folder: string;
let router: Router;
let writers: Writers | undefined;
const running = new Set<Running>();
/** Everything that the command has said, for the canary. */
const said: string[] = [];

beforeAll(async () => {
  const names = ['catalog', ...SHARDS];
  const started = await Promise.all(names.map((name) => startPostgres({ name: `cli-${name}` })));
  servers = Object.fromEntries(names.map((name, at) => [name, started[at] as PostgresServer]));
  for (const name of ['users-1', 'users-2']) {
    await server(name).query(
      'CREATE TABLE users (user_id bigint PRIMARY KEY, version int NOT NULL DEFAULT 0, note text)',
    );
  }
  folder = mkdtempSync(join(tmpdir(), 'shardline-operator-'));
});

afterAll(async () => {
  for (const { process: child } of running) child.kill('SIGKILL');
  await writers?.stop();
  await router?.close();
  await Promise.all(Object.values(servers ?? {}).map((each) => each.stop()));
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

function server(name: string): PostgresServer {
  return servers[name] as PostgresServer;
}

/** The configuration, with these shards, as JSON; its passwords are in the environment. */
function configuration(names: readonly string[]) {
  const withSecret = (url: string) => {
    const at = new URL(url);
    return `postgres://${at.username}:\${OWNER_PASSWORD}@${at.host}${at.pathname}`;
  };
  return {
    name: 'shop',
    catalog: withSecret(server('catalog').url),
    shards: Object.fromEntries(
      names.map((name) => [name, { primary: withSecret(server(name).url) }]),
    ),
    keyspaces: { users: { keyType: 'bigint', slots: 32 } },
    entities: { users: { table: 'users', keyspace: 'users', key: 'user_id' } },
    administration: { limits: { rollbackWindow: '10m' } },
  } as const;
}

function configure(names: readonly string[]): void {
  writeFileSync(join(folder, 'shardline.config.json'), JSON.stringify(configuration(names)));
}

function start(...words: string[]): Running {
  const call = startCommand(folder, words, { OWNER_PASSWORD: CANARY });
  running.add(call);
  void call.ended.then(({ output, errors }) => {
    running.delete(call);
    said.push(output, errors);
  });
  return call;
}

function call(...words: string[]): Promise<Ended> {
  return start(...words).ended;
}

/** Calls the command for its document, which must have come. */
async function document(exitCode: number, ...words: string[]) {
  const ended = await call(...words, '--json');
  expect(ended, words.join(' ')).toMatchObject({ exitCode });
  return JSON.parse(ended.output);
}

/** States of the moves of a plan, asked of the journal: a process for each look would be the load of the test. */
async function statesOf(planId: string): Promise<string[]> {
  const { rows } = await server('catalog').query<{ state: string }>(
    'SELECT state FROM shardline.move WHERE plan = $1 ORDER BY state',
    [planId],
  );
  return rows.map(({ state }) => state);
}

/** Between two writes of a writer: enough of them overlap every state, and the command has a core of its own. */
const PAUSE_MS = 5;

/** Writers that go on until they are stopped, with what was acknowledged to them. */
class Writers {
  readonly versions = new Map<number, number>();
  readonly failures: unknown[] = [];
  #isOver = false;
  readonly #working: Promise<unknown>;

  constructor(count: number) {
    this.#working = Promise.all(Array.from({ length: count }, (_, at) => this.#write(at, count)));
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#working;
  }

  /** Each has keys of its own, so that the newest acknowledged version of a key is known. */
  async #write(first: number, step: number): Promise<void> {
    for (let key = first; !this.#isOver; key = (key + step) % KEYS) {
      try {
        const { rows } = await router.query<{ version: number }>(
          key,
          'UPDATE users SET version = version + 1 WHERE user_id = $1 RETURNING version',
          [key],
        );
        this.versions.set(key, rows[0]?.version as number);
        await sleep(PAUSE_MS);
      } catch (error) {
        this.failures.push(error);
      }
    }
  }
}

/** Each call is a process of its own, and each step several of them; none is waited for by the clock. */
const STEP_TIMEOUT_MS = 300_000;

describe('an operator adds a shard with the built command', { timeout: STEP_TIMEOUT_MS }, () => {
  let plan: { id: string; moves: unknown[] };

  test('init makes the catalog and two shards', async () => {
    configure(['users-1', 'users-2']);
    await document(0, 'init', '--apply', '--yes');
    expect(await document(0, 'shards')).toMatchObject({
      shards: [
        { name: 'users-1', slots: { users: 16 } },
        { name: 'users-2', slots: { users: 16 } },
      ],
    });
  });

  test('services go on while a third shard comes into the configuration', async () => {
    await server('users-3').query(
      'CREATE TABLE users (user_id bigint PRIMARY KEY, version int NOT NULL DEFAULT 0, note text)',
    );
    configure(SHARDS);
    vi.stubEnv('OWNER_PASSWORD', CANARY);
    router = await createRouter({
      ...administratorRouterOptionsOf(configuration(SHARDS)),
      pollInterval: '100ms',
    });
    const rows = Array.from({ length: KEYS }, (_, key) => ({
      user_id: key,
      note: 'x'.repeat(100),
    }));
    await router.insertMany('users', rows);
    writers = new Writers(4);
    expect(await document(0, 'shards')).toMatchObject({
      notOnMap: ['users-3'],
      next: ['shardline shards add users-3'],
    });
    expect(await document(0, 'routers')).toMatchObject({ routers: [{ isCurrent: true }] });
  });

  test('the plan is checked, written, and described the same each time', async () => {
    expect(await document(2, 'plan', '--check')).toMatchObject({
      plan: { change: { kind: 'add', shard: 'users-3' } },
    });
    ({ plan } = await document(0, 'plan', 'add', 'users-3', '--out', 'plan.json'));
    expect(plan.moves).toHaveLength(2);
    const first = await call('apply', 'plan.json', '--dry-run');
    expect(first.exitCode).toBe(0);
    expect(first.output).toContain('CREATE PUBLICATION');
    expect(await call('apply', 'plan.json', '--dry-run')).toEqual(first);
  });

  test('a plan that was edited is refused', async () => {
    const text = readFileSync(join(folder, 'plan.json'), 'utf8');
    writeFileSync(join(folder, 'edited.json'), text.replace('"fromEpoch": 1', '"fromEpoch": 2'));
    const { exitCode, errors } = await call('apply', 'edited.json', '--yes', '--json');
    expect(exitCode).toBe(1);
    expect(JSON.parse(errors)).toMatchObject({ code: 'PLAN_INVALID', exitCode: 1 });
  });

  test('nothing begins without a yes', async () => {
    const { exitCode, errors } = await call('apply', 'plan.json');
    expect(exitCode).toBe(1);
    expect(errors).toContain('standard input is no terminal');
  });

  test('it copies and keeps up, and waits before the switch', async () => {
    const applying = start('apply', 'plan.json', '--yes', '--hold-cutover', '--leave-open');
    await expect
      .poll(() => statesOf(plan.id), { timeout: 120_000, interval: 500 })
      .toContain('catching_up');
    // A small copy may be over before a tick of progress has told of it.
    await expect.poll(() => applying.errors()).toMatch(/copying|catching/);
    // Ctrl-C: it ends at a safe point, and says how to go on.
    applying.process.kill('SIGINT');
    const { exitCode, errors } = await applying.ended;
    expect(errors).toContain('shardline resume');
    expect(exitCode).toBe(130);
  });

  test('it is taken up, steered and released', async () => {
    const { active } = await document(0, 'status');
    const [one] = active;
    expect(one.steering).toMatchObject({ isCutOverHeld: true });
    await document(0, 'throttle', one.id, '50MB');
    await document(0, 'throttle', one.id, 'off');
    const resuming = start('resume', '--leave-open', '--ndjson');
    await document(0, 'release', plan.id);
    await document(0, 'status', plan.id, '--wait', '--for', 'switched', '--timeout', '2m');
    const { exitCode, output } = await resuming.ended;
    expect(exitCode).toBe(0);
    const lines = output
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.slice(0, -1).every(({ kind }) => kind === 'progress')).toBe(true);
    expect(lines.at(-1)).toMatchObject({ kind: 'apply', outcome: 'switched' });
  });

  test('rows of both sides are compared, and the way back is open', async () => {
    const { active } = await document(0, 'status');
    expect(active).toHaveLength(2);
    for (const { id, rollbackUntilMs } of active) {
      expect(rollbackUntilMs).toBeGreaterThan(Date.now());
      expect(await document(0, 'rollback', id, '--dry-run')).toMatchObject({ command: 'rollback' });
    }
  });

  test('one move is rolled back, the other one finished', async () => {
    const [one, two] = (await document(0, 'status')).active;
    await document(0, 'rollback', one.id, '--yes');
    await document(0, 'finish', two.id, '--yes');
    expect((await statesOf(plan.id)).sort()).toEqual(['done', 'rolled_back']);
    const { exitCode, errors } = await call('abort', two.id, '--yes', '--json');
    expect(exitCode).toBe(1);
    expect(JSON.parse(errors)).toMatchObject({ code: 'MOVE_STATE' });
  });

  test('a move that is given up leaves nothing', async () => {
    const weights = ['plan', 'weight', 'users-1=3', '--out', 'weights.json'];
    const { plan: heavier } = await document(0, ...weights);
    const applying = start('apply', 'weights.json', '--yes', '--hold-cutover');
    await expect
      .poll(async () => (await statesOf(heavier.id)).includes('catching_up'), {
        timeout: 120_000,
        interval: 500,
      })
      .toBe(true);
    await document(0, 'abort', heavier.id, '--yes');
    await applying.ended;
    expect(new Set(await statesOf(heavier.id))).toEqual(new Set(['aborted']));
  });

  test('every acknowledged write is at its owner, once, and nothing is left behind', async () => {
    const { versions, failures } = writers as Writers;
    await writers?.stop();
    expect(failures).toEqual([]);
    expect(versions.size).toBeGreaterThan(0);
    expect(await document(0, 'verify')).toMatchObject({ foreignRows: [], isComplete: true });
    expect(await document(0, 'repair')).toMatchObject({ actions: [] });
    await router.refresh();
    const found = new Map<number, { version: number; shard: string }[]>();
    for (const shard of SHARDS) {
      const { rows } = await server(shard).query<{ user_id: string; version: number }>(
        'SELECT user_id, version FROM users',
      );
      for (const { user_id, version } of rows) {
        const key = Number(user_id);
        found.set(key, [...(found.get(key) ?? []), { version, shard }]);
      }
    }
    expect(found.size).toBe(KEYS);
    for (const [key, copies] of found) {
      const { shard } = router.explain(key) as { shard: string };
      expect(copies).toEqual([{ version: versions.get(key) ?? 0, shard }]);
    }
    for (const name of ['catalog', ...SHARDS]) {
      const { rows } = await server(name).query(
        `SELECT slot_name AS left_behind FROM pg_replication_slots
         UNION ALL SELECT pubname FROM pg_publication UNION ALL SELECT subname FROM pg_subscription
         UNION ALL SELECT rolname FROM pg_roles WHERE rolname LIKE 'shardline%'`,
      );
      expect([name, rows]).toEqual([name, []]);
    }
  });

  test('the distribution is shown and drawn', async () => {
    const { exitCode, output } = await call('distribution', '--by', 'rows', '--svg', 'rows.svg');
    expect(exitCode).toBe(0);
    expect(output).toMatch(/users-3┤/);
    expect(readFileSync(join(folder, 'rows.svg'), 'utf8')).toMatch(/^<svg/);
  });

  test('no password was ever said', () => {
    expect(said.length).toBeGreaterThan(20);
    for (const text of said) expect(text).not.toContain(CANARY);
  });
});
