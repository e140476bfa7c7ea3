/**
 * What somebody does who has the command for the first time: mistypes, looks at everything, tries it at terminals of any
 * width, presses Ctrl-C in the midst. Real servers, the built command, a real terminal.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { processHost, run } from '@shardline/cli';
import { type PostgresServer, startPostgres, waitUntil } from '@shardline/testkit';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Ended, type Running, startCommand } from './command.js';
import { type AtTerminal, CTRL_C, drawnLines, startAtTerminal } from './terminal.js';

// Each call is a process of its own, and some are whole moves.
vi.setConfig({ testTimeout: 300_000 });

const CANARY = 'canary-7d40e9';
const ESCAPE = '\u001b';
const ROWS = 500;
const SHARDS = ['users-1', 'users-2'] as const;

let servers: Record<string, PostgresServer>;
let folder: string;
const children = new Set<Running | AtTerminal>();

const server = (name: string) => servers[name] as PostgresServer;

beforeAll(async () => {
  const names = ['catalog', ...SHARDS];
  const started = await Promise.all(names.map((name) => startPostgres({ name: `new-${name}` })));
  servers = Object.fromEntries(names.map((name, at) => [name, started[at] as PostgresServer]));
  for (const name of SHARDS) {
    await server(name).query('CREATE TABLE users (user_id bigint PRIMARY KEY, note text)');
  }
  folder = mkdtempSync(join(tmpdir(), 'shardline newcomer-'));
  vi.stubEnv('OWNER_PASSWORD', CANARY);
});

afterAll(async () => {
  for (const { process: child } of children) child.kill('SIGKILL');
  await Promise.all(Object.values(servers ?? {}).map((each) => each.stop()));
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

function configure(names: readonly string[]): void {
  const withSecret = (url: string) => {
    const at = new URL(url);
    return `postgres://${at.username}:\${OWNER_PASSWORD}@${at.host}${at.pathname}`;
  };
  writeFileSync(
    join(folder, 'shardline.config.json'),
    JSON.stringify({
      name: 'shop',
      catalog: withSecret(server('catalog').url),
      shards: Object.fromEntries(
        names.map((name) => [name, { primary: withSecret(server(name).url) }]),
      ),
      keyspaces: { users: { keyType: 'bigint', slots: 16 } },
      entities: { users: { table: 'users', keyspace: 'users', key: 'user_id' } },
      administration: {
        lease: '1s',
        limits: { rollbackWindow: '10m', pauseTimeout: '2s', lockTimeout: '100ms' },
      },
    }),
  );
}

function start(...words: string[]): Running {
  const call = startCommand(folder, words, { NO_COLOR: '' });
  children.add(call);
  return call;
}

function call(...words: string[]): Promise<Ended> {
  return start(...words).ended;
}

function atTerminal(columns: number, ...words: string[]): AtTerminal {
  const environment = { OWNER_PASSWORD: CANARY };
  const terminal = startAtTerminal(folder, words, { columns, environment });
  children.add(terminal);
  return terminal;
}

const host = processHost();

/** The command within this process, on the same servers. */
async function within(...words: string[]): Promise<Ended> {
  const collect = () => {
    const stream = new PassThrough();
    let text = '';
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    return { stream, text: () => text };
  };
  const [output, errors] = [collect(), collect()];
  const exitCode = await run(words, {
    ...host,
    folder,
    environment: { ...process.env, CI: '', FORCE_COLOR: '1' },
    input: new PassThrough(),
    output: output.stream,
    errors: errors.stream,
  });
  return { exitCode, output: output.text(), errors: errors.text() };
}

async function stateOf(): Promise<string | undefined> {
  const { rows } = await server('catalog').query<{ state: string }>(
    'SELECT state FROM shardline.move ORDER BY created_at DESC LIMIT 1',
  );
  return rows[0]?.state;
}

/** Waits until the move is there; at once over if the command that moves it has ended before. */
async function reaches({ ended }: Running | AtTerminal, ...states: string[]): Promise<void> {
  let end: unknown;
  void ended.then((how) => {
    end = how;
  });
  await waitUntil(async () => end !== undefined || states.includes((await stateOf()) ?? ''), {
    what: `the move to be ${states.join(' or ')}`,
    within: '1m',
  });
  expect(end).toBeUndefined();
}

/** Nothing waits at services because of a command that has gone. */
async function nobodyWaits(): Promise<void> {
  const { rows } = await server('catalog').query('SELECT id FROM shardline.hold');
  expect(rows).toEqual([]);
  for (const name of SHARDS) {
    const fenced = await server(name).query(
      'SELECT slot FROM shardline.slot_ownership WHERE is_fenced',
    );
    expect([name, fenced.rows]).toEqual([name, []]);
  }
}

/** A transaction that has what the move wants to lock. @returns ends it. */
async function inTheWay(shard: string, statement: string): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: server(shard).url });
  await client.connect();
  await client.query('BEGIN');
  await client.query(statement);
  return async () => {
    await client.query('ROLLBACK');
    await client.end();
  };
}

function expectStopped({ exitCode, errors, output }: Ended): void {
  expect([exitCode, output]).toEqual([130, '']);
  expect(errors).toContain('Stopping at the next safe point');
  expect(errors).toContain('shardline resume');
  expect(errors).toContain('CLI_INTERRUPTED');
  expect(errors).not.toMatch(/^ {4}at /m);
}

test.each([
  [['aply', 'plan.json'], 'apply'],
  [['apply', 'plan.json', '--dry-runn'], '--dry-run'],
  [['plan', '--chek'], '--check'],
  [['plan', 'ad', 'users-2'], 'add'],
  [['status', '--waitt'], '--wait'],
])('%j is answered with what was meant', async (words, meant) => {
  const { exitCode, output, errors } = await call(...words);
  expect([exitCode, output]).toEqual([1, '']);
  expect(errors).toContain(`Did you mean ${meant}?`);
  expect(errors).not.toContain(ESCAPE);
});

test('init makes catalog and shard, and a second shard comes into the configuration', async () => {
  configure(['users-1']);
  expect(await call('init', '--apply', '--yes')).toMatchObject({ exitCode: 0 });
  await server('users-1').query(
    `INSERT INTO users SELECT key, 'note' FROM generate_series(1, ${ROWS}) AS key`,
  );
  configure(SHARDS);
  expect(await call('plan', 'add', 'users-2', '--out', 'plan.json')).toMatchObject({ exitCode: 0 });
});

describe('completion in bash', () => {
  let script: string;
  beforeAll(async () => {
    ({ output: script } = await call('completion', 'bash'));
    writeFileSync(join(folder, 'completion.bash'), script);
  });

  /** What a tab offers behind the words. */
  function offered(...words: string[]): string[] {
    const { stdout, stderr, status } = spawnSync(
      'bash',
      [
        '-c',
        `source ./completion.bash
         COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
         _shardline
         printf '%s\\n' "\${COMPREPLY[@]}"`,
        'bash',
        'shardline',
        ...words,
      ],
      { cwd: folder, encoding: 'utf8' },
    );
    expect([status, stderr]).toEqual([0, '']);
    return stdout.split('\n').filter((line) => line !== '');
  }

  test('completes verbs, those below them, options, and files by the name that they have', () => {
    expect(offered('sta')).toEqual(['status']);
    expect(offered('plan', 'mo')).toEqual(['move-slots']);
    expect(offered('--config', 'x.json', 'apply', '--dry')).toEqual(['--dry-run']);
    expect(script).toContain('complete -o default -F _shardline shardline');
  });
});

/** Of each verb one call that changes nothing; with its exit code. */
const LOOKS: readonly (readonly [words: readonly string[], exitCode: number])[] = [
  [['init', '--apply', '--dry-run'], 0],
  // A shard that is to join has no guard yet.
  [['doctor'], 0],
  [['shards'], 0],
  [['plan', '--check'], 2],
  [['apply', 'plan.json', '--dry-run'], 0],
  [['apply', 'none.json'], 1],
  [['resume', '--dry-run'], 0],
  [['status'], 0],
  [['pause', 'last'], 1],
  [['continue', 'last'], 1],
  [['hold', 'last'], 1],
  [['release', 'last'], 1],
  [['throttle', 'last', '1MB'], 1],
  [['rollback', 'last'], 1],
  [['abort', 'last'], 1],
  [['finish', 'last'], 1],
  [['verify'], 0],
  [['repair'], 0],
  [['distribution'], 0],
  [['locate', '1'], 0],
  [['explain', 'SELECT * FROM users WHERE user_id = 1'], 0],
  [['exec', '--key', '1', 'SELECT * FROM users WHERE user_id = 1'], 0],
  [['routers'], 0],
  [['capacity'], 0],
  [['config', 'print'], 0],
  [['completion', 'zsh'], 0],
];

describe('--json', () => {
  test.each(LOOKS)('%j is one document, without colours and secrets', async (words, exitCode) => {
    const ended = await within(...words, '--json');
    const text = exitCode === 1 ? ended.errors : ended.output;
    expect([ended.exitCode, exitCode === 1 ? ended.output : ended.errors], text).toEqual([
      exitCode,
      '',
    ]);
    expect(JSON.parse(text)).toMatchObject({ exitCode });
    expect(text).not.toContain(ESCAPE);
    expect(text).not.toContain(CANARY);
  });

  test('was asked of every verb that there is', async () => {
    const { output } = await call('--help');
    const verbs = [...output.slice(output.indexOf('Commands:')).matchAll(/^ {2}([a-z]+) /gm)];
    const known = new Set(['help', ...LOOKS.map(([[verb]]) => verb)]);
    expect(verbs.length).toBeGreaterThan(15);
    expect(verbs.map(([, verb]) => verb).filter((verb) => !known.has(verb as string))).toEqual([]);
  });
});

describe('Ctrl-C', () => {
  test.runIf(process.platform === 'linux')('at the question begins nothing', async () => {
    const terminal = atTerminal(80, 'apply', 'plan.json');
    await waitUntil(() => terminal.shown().includes('Move 1 group of slots now'), {
      what: 'the question',
    });
    terminal.type(CTRL_C);
    const { exitCode, shown } = await terminal.ended;
    expect(exitCode, shown).toBe(130);
    expect(shown).toContain('Nothing was begun');
    expect(await stateOf()).toBeUndefined();
  });

  test('while rows are copied ends at a safe point', async () => {
    // A server that has no worker to spare for it.
    const spare = async (workers: string) => {
      await server('users-2').query(
        `ALTER SYSTEM SET max_sync_workers_per_subscription = ${workers}`,
      );
      await server('users-2').query('SELECT pg_reload_conf()');
    };
    await spare('0');
    try {
      const applying = start('apply', 'plan.json', '--yes');
      await reaches(applying, 'copying');
      applying.process.kill('SIGINT');
      expectStopped(await applying.ended);
      expect(await stateOf()).toBe('copying');
    } finally {
      await spare('DEFAULT');
    }
  });

  test.runIf(process.platform === 'linux').each([80, 40])(
    'at a terminal of %i columns leaves it as it was, the bars within its edge',
    async (columns) => {
      const terminal = atTerminal(columns, 'resume', '--hold-cutover');
      await reaches(terminal, 'catching_up');
      await waitUntil(() => terminal.shown().includes('catching up'), { what: 'the bar' });
      terminal.type(CTRL_C);
      await waitUntil(() => terminal.shown().includes('Ctrl-C again'), { what: 'the answer' });
      // The second one, if the first has not ended it by then.
      if (columns === 40) terminal.type(CTRL_C);
      const { exitCode, shown } = await terminal.ended;
      expect(exitCode, shown).toBe(130);
      const bars = drawnLines(shown).filter((line) => /[█░]/.test(line));
      expect(bars.length).toBeGreaterThan(0);
      for (const line of bars) expect([...line].length).toBeLessThanOrEqual(columns);
      expect(bars.some((line) => line.includes('catching up'))).toBe(true);
      expect(shown).toContain(`${ESCAPE}[36m`);
      expect(shown.replaceAll(/\s+/g, ' ')).toContain('shardline resume');
      for (const [off, on] of [
        ['[?25l', '[?25h'],
        ['[?7l', '[?7h'],
      ] as const) {
        const isLast = shown.lastIndexOf(on) > shown.lastIndexOf(off);
        expect([on, isLast], JSON.stringify(shown)).toEqual([on, true]);
      }
      expect(shown).not.toContain(CANARY);
    },
  );

  test('while services are held back lets them go first', async () => {
    const end = await inTheWay('users-1', 'UPDATE users SET note = note');
    const resuming = start('resume');
    await server('catalog').query('UPDATE shardline.move SET is_cut_over_held = false');
    await reaches(resuming, 'fencing');
    resuming.process.kill('SIGINT');
    expectStopped(await resuming.ended);
    await nobodyWaits();
    await end();
  });

  test('twice while services are held back leaves at once, and whoever comes next lets them go', async () => {
    const end = await inTheWay('users-1', 'UPDATE users SET note = note');
    const resuming = start('resume');
    await reaches(resuming, 'fencing');
    resuming.process.kill('SIGINT');
    await waitUntil(() => resuming.errors().includes('Ctrl-C again'), { what: 'the answer' });
    resuming.process.kill('SIGINT');
    expect(await resuming.ended).toMatchObject({ exitCode: 130, output: '' });
    await end();
    const next = start('resume');
    await reaches(next, 'reversing');
    await nobodyWaits();
    // In the rollback window nothing is under way but time.
    next.process.kill('SIGINT');
    expectStopped(await next.ended);
    expect(await call('finish', 'last', '--yes')).toMatchObject({ exitCode: 0 });
  });

  test('at all of these points has lost nothing and left nothing', async () => {
    expect(await stateOf()).toBe('done');
    expect(await within('verify', '--json')).toMatchObject({ exitCode: 0 });
    expect(await within('repair', '--json')).toMatchObject({ exitCode: 0 });
    const counts = await Promise.all(
      SHARDS.map(async (name) => {
        const { rows } = await server(name).query<{ count: number }>(
          `SELECT count(*)::integer AS count FROM users
           WHERE NOT EXISTS (SELECT 1 FROM pg_replication_slots UNION ALL SELECT 1 FROM pg_subscription)`,
        );
        return rows[0]?.count ?? 0;
      }),
    );
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(ROWS);
    expect(Math.min(...counts)).toBeGreaterThan(0);
  });
});
