import { coreErrors, ShardlineError } from '@shardline/core';
import { describe, expect, test } from 'vitest';
import { COPYING, DONE, handMade, PLAN, STATUS, STEPS } from './test-host/hand-made-rebalancer.js';
import { TestHost } from './test-host/test-host.js';

describe('words', () => {
  test('a mistyped verb is answered with the right one', async () => {
    using host = new TestHost();
    const { exitCode, errors } = await host.call('stauts');
    expect(exitCode).toBe(1);
    expect(errors).toContain('Did you mean status?');
  });

  test('so is a mistyped verb below another', async () => {
    using host = new TestHost();
    expect((await host.call('plan', 'ad', 'three')).errors).toContain('Did you mean add?');
    expect((await host.call('shards', 'drian', 'one')).errors).toContain('Did you mean drain?');
  });

  test('a mistyped option is answered with the right one', async () => {
    using host = new TestHost();
    expect((await host.call('status', '--wach')).errors).toContain('Did you mean --watch?');
  });

  test('a capacity is reckoned without a configuration, and names what it rests on', async () => {
    using host = new TestHost();
    const { exitCode, output } = await host.call('capacity', '--users', '2000000', '--json');
    expect(exitCode).toBe(0);
    const { fleets, assumptions } = JSON.parse(output);
    expect(fleets[0].load.users).toBe(2_000_000);
    expect(fleets[0].fleet.processes).toBeGreaterThan(3);
    expect(assumptions.length).toBeGreaterThan(3);
    const wrong = await host.call('capacity', '--read-share', '90');
    expect(wrong.exitCode).toBe(1);
    expect(wrong.errors).toContain('from 0 to 1');
  });

  test('help and version end well and have examples', async () => {
    using host = new TestHost();
    expect(await host.call('--version')).toMatchObject({ exitCode: 0, output: '0.1.0\n' });
    const help = await host.call('apply', '--help');
    expect(help.exitCode).toBe(0);
    expect(help.output).toContain('$ shardline apply plan.json --dry-run');
    expect(help.output).toContain('--rollback-window <duration>');
    expect(help.output).toContain('--json');
  });

  test('without a verb the help is shown', async () => {
    using host = new TestHost();
    const { output, errors } = await host.call();
    expect(output + errors).toContain('Usage: shardline');
  });
});

describe('errors', () => {
  test('with --json an error is one document on standard error, and standard output is empty', async () => {
    using host = new TestHost({ config: false });
    const { exitCode, output, errors } = await host.call('status', '--json');
    expect([exitCode, output]).toEqual([1, '']);
    expect(JSON.parse(errors)).toEqual({
      code: 'CLI_CONFIG_MISSING',
      message: expect.stringContaining(host.folder),
      remedy: expect.stringContaining('shardline init'),
      docs: expect.stringContaining('docs/errors/CLI_CONFIG_MISSING.md'),
      exitCode: 1,
    });
  });

  test('a mistyped verb is a document too, where one was asked for', async () => {
    using host = new TestHost();
    const { errors } = await host.call('stauts', '--json');
    expect(JSON.parse(errors)).toMatchObject({ code: 'CLI_USAGE' });
  });

  test('every flag and variable that cannot be read is named at once', async () => {
    using host = new TestHost({ environment: { SHARDLINE_PAUSE_TIMEOUT: '5' } });
    const { errors } = await host.call('apply', 'plan.json', '--lock-timeout', 'soon');
    expect(errors).toMatch(
      /--lock-timeout: 'soon' is no duration[\s\S]*SHARDLINE_PAUSE_TIMEOUT: '5' has no unit/,
    );
  });

  test('a missing configuration says every place that was looked at', async () => {
    using host = new TestHost({ config: false });
    const { errors } = await host.call('status');
    expect(errors).toContain(`in ${host.folder} or in `);
    expect(errors).toContain('shardline.config.ts');
  });
});

describe('status', () => {
  test('shows shards, routers and what is over, and what comes next', async () => {
    using host = new TestHost({ rebalancer: handMade() });
    const { exitCode, output } = await host.call('status');
    expect(exitCode).toBe(0);
    expect(output).toContain('Epoch 12, revision 31, 2 shards, 1 router');
    expect(output).toContain('No move is under way.');
    expect(output.trimEnd()).toMatch(/Next: shardline plan --check$/);
  });

  test('as JSON is one document without colours, even where they are forced', async () => {
    using host = new TestHost({
      rebalancer: handMade({ status: async () => ({ ...STATUS, active: [COPYING] }) }),
      environment: { FORCE_COLOR: '1' },
    });
    const { output } = await host.call('status', '--json');
    expect(output).not.toContain('\u001b');
    expect(JSON.parse(output)).toMatchObject({
      kind: 'status',
      epoch: 12,
      active: [{ id: COPYING.id, state: 'copying' }],
      next: ['shardline status --watch'],
      exitCode: 0,
    });
  });

  test('is coloured on a terminal alone, and NO_COLOR is respected', async () => {
    const shown = async (isTerminal: boolean, environment: Record<string, string>) => {
      using host = new TestHost({ rebalancer: handMade(), isTerminal, environment });
      return (await host.call('status')).output.includes('\u001b[');
    };
    expect(await shown(true, {})).toBe(true);
    expect(await shown(false, {})).toBe(false);
    expect(await shown(true, { NO_COLOR: '1' })).toBe(false);
    expect(await shown(false, { FORCE_COLOR: '1' })).toBe(true);
  });

  test('--wait ends with 0 when the moves are done, with 1 when they were given up', async () => {
    for (const [end, exitCode] of [
      [DONE, 0],
      [{ ...DONE, state: 'aborted' as const }, 1],
    ] as const) {
      let asked = 0;
      const rebalancer = handMade({
        status: async () => {
          asked += 1;
          return asked < 3
            ? { ...STATUS, active: [COPYING], recent: [] }
            : { ...STATUS, recent: [end] };
        },
      });
      using host = new TestHost({ rebalancer });
      const called = await host.call('status', '--wait', '--interval', '1ms');
      expect(called.exitCode).toBe(exitCode);
      expect(called.output).toContain('0f3a9c1e');
    }
  });

  test('--wait ends with 2 when its time is over', async () => {
    const rebalancer = handMade({
      status: async () => {
        host.nowMs += 1000;
        return { ...STATUS, active: [COPYING], recent: [] };
      },
    });
    using host = new TestHost({ rebalancer });
    const { exitCode, output } = await host.call(
      'status',
      '--wait',
      '--timeout',
      '5s',
      '--interval',
      '1ms',
    );
    expect(exitCode).toBe(2);
    expect(output).toContain('Not ended within 5s.');
  });
});

describe('plans', () => {
  const planning = handMade({ plan: async () => PLAN, describe: async () => STEPS });

  test('a plan is written for review, with what it moves, locks and how far it can be undone', async () => {
    using host = new TestHost({ rebalancer: planning });
    const { exitCode, output } = await host.call('plan', 'add', 'three', '--out', 'p.json');
    expect(exitCode).toBe(0);
    expect(output).toContain("shard 'three' joins with weight 1");
    expect(output).toContain('5 slots of users move, the fewest possible.');
    expect(output).toContain('rows, in batches of 1000');
    expect(output).toContain('Can be undone up to and including: prepared');
    expect(output).toContain('Next: shardline apply p.json --dry-run');
  });

  test('--check writes nothing and ends with 2 for changes, 0 for nothing, 1 for a fault', async () => {
    using host = new TestHost({ rebalancer: planning });
    expect((await host.call('plan', 'add', 'three', '--check')).exitCode).toBe(2);
    const nothing = { ...PLAN, change: { kind: 'reweight', weights: {} } as const, moves: [] };
    using idle = new TestHost({ rebalancer: handMade({ plan: async () => nothing }), config: TWO });
    expect((await idle.call('plan', '--check')).exitCode).toBe(0);
    using broken = new TestHost({
      rebalancer: handMade({ plan: () => Promise.reject(new Error('no route to host')) }),
    });
    expect(await broken.call('plan', '--check')).toMatchObject({
      exitCode: 1,
      errors: expect.stringContaining('no route to host'),
    });
  });

  test('without a change the configuration says what is wanted', async () => {
    const wanted: unknown[] = [];
    const rebalancer = handMade({
      plan: async (change) => {
        wanted.push(change);
        return PLAN;
      },
      describe: async () => STEPS,
    });
    using host = new TestHost({
      rebalancer,
      config: { ...TWO, ...THREE, administration: { shards: { one: { weight: 2 } } } },
    });
    const { output } = await host.call('plan', '--check');
    expect(wanted).toEqual([{ kind: 'add', shard: 'three' }]);
    expect(output).toContain('shardline plan weight one=2');
  });

  test('a shard that no service knows is not planned for', async () => {
    using host = new TestHost({ rebalancer: planning });
    const { exitCode, errors } = await host.call('plan', 'add', 'thre');
    expect(exitCode).toBe(1);
    expect(errors).toContain("Did you mean 'three'?");
  });

  test('what is no plan is refused with its reason', async () => {
    using host = new TestHost({ rebalancer: planning });
    host.write('list.json', '[]');
    host.write('broken.json', '{');
    host.write('newer.json', JSON.stringify({ ...PLAN, format: 2 }));
    expect((await host.call('apply', 'absent.json')).errors).toContain('There is no file');
    expect((await host.call('apply', 'list.json')).errors).toContain('it has no seal');
    expect((await host.call('apply', 'broken.json')).errors).toContain('is no JSON');
    expect((await host.call('apply', 'newer.json')).errors).toContain('format 2');
  });
});

const TWO = {
  name: 'shop',
  catalog: 'postgres://app@127.0.0.1:1/catalog',
  shards: {
    one: { primary: 'postgres://a@127.0.0.1:1/one' },
    two: { primary: 'postgres://a@127.0.0.1:1/two' },
  },
  keyspaces: { users: { keyType: 'bigint', slots: 16 } },
  entities: { users: { table: 'users', keyspace: 'users', key: 'user_id' } },
};
const THREE = { shards: { ...TWO.shards, three: { primary: 'postgres://a@127.0.0.1:1/three' } } };

describe('applying', () => {
  const applying = (over: Parameters<typeof handMade>[0] = {}) =>
    handMade({
      prepareShard: async () => {},
      check: async () => ({ outcome: 'applicable', findings: [] }),
      describe: async () => STEPS,
      apply: async (_, options) => {
        options?.onProgress?.(COPYING);
        options?.onProgress?.(DONE);
        return { planId: PLAN.id, moves: [DONE], epoch: 13 };
      },
      ...over,
    });
  const withPlan = (host: TestHost) => host.write('p.json', JSON.stringify(PLAN));

  test('carries a plan out, a line for each change, and says what became of it', async () => {
    using host = new TestHost({ rebalancer: applying() });
    withPlan(host);
    const { exitCode, output, errors } = await host.call('apply', 'p.json', '--yes');
    expect(exitCode).toBe(0);
    expect(errors).toContain('users one → three, 5 slots · copying · 43 % of ~1.0 GB');
    expect(output).toContain('1 of 1 move switched. Epoch 13.');
    expect(output).toContain('46 ms');
    expect(output).toMatch(/Next: shardline verify\n$/);
  });

  test('as lines of JSON: progress, and the answer last', async () => {
    using host = new TestHost({ rebalancer: applying() });
    withPlan(host);
    const { output } = await host.call('apply', 'p.json', '--yes', '--ndjson');
    const lines = output
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map(({ kind }) => kind)).toEqual(['progress', 'progress', 'apply']);
    expect(lines.at(-1)).toMatchObject({ outcome: 'done', exitCode: 0 });
  });

  test('a dry run changes nothing, and two of them are the same', async () => {
    using host = new TestHost({ rebalancer: handMade({ describe: async () => STEPS }) });
    withPlan(host);
    const first = await host.call('apply', 'p.json', '--dry-run');
    expect(first.exitCode).toBe(0);
    expect(first.output).toContain('CREATE PUBLICATION');
    expect(first.output).toContain('cannot be undone');
    expect(await host.call('apply', 'p.json', '--dry-run')).toEqual(first);
  });

  test('blockers are all named, nothing is moved, and the exit code says so', async () => {
    const finding = {
      code: 'WAL_LEVEL',
      severity: 'blocker',
      shard: 'one',
      subject: 'wal_level',
      message: 'It is replica.',
      remedy: 'Set it to logical.',
      sql: "ALTER SYSTEM SET wal_level = 'logical'",
    } as const;
    using host = new TestHost({
      rebalancer: applying({ check: async () => ({ outcome: 'blocked', findings: [finding] }) }),
    });
    withPlan(host);
    const { exitCode, output } = await host.call('apply', 'p.json', '--yes');
    expect(exitCode).toBe(2);
    expect(output).toContain("ALTER SYSTEM SET wal_level = 'logical'");
    expect(output).toContain('Blocked: 1 blocker. Nothing was moved.');
  });

  test('a plan of an older epoch is to be made again', async () => {
    using host = new TestHost({
      rebalancer: applying({ check: async () => ({ outcome: 'stale', planEpoch: 12, epoch: 14 }) }),
    });
    withPlan(host);
    const { exitCode, output } = await host.call('apply', 'p.json', '--yes');
    expect(exitCode).toBe(2);
    expect(output).toContain('made for epoch 12; the catalog is at epoch 14');
    expect(output).toContain('Next: shardline plan add three --weight 1');
  });

  test.each([
    [{}, 'standard input is no terminal'],
    [{ CI: 'true' }, "the environment variable CI is set to 'true'"],
  ])(
    'without --yes and without somebody to ask it refuses and says why: %j',
    async (environment, why) => {
      using host = new TestHost({ rebalancer: applying(), environment });
      withPlan(host);
      const { exitCode, errors } = await host.call('apply', 'p.json');
      expect(exitCode).toBe(1);
      expect(errors).toContain('CLI_CONFIRMATION_NEEDED');
      expect(errors).toContain(why);
    },
  );

  test('the first Ctrl-C stops at a safe point and says how to go on, the second leaves at once', async () => {
    const rebalancer = applying({
      apply: (_, options) =>
        new Promise((_resolve, reject) => {
          options?.signal?.addEventListener('abort', () => {
            host.interrupt();
            reject(new ShardlineError(coreErrors.ABORTED, 'Applying was given up by the caller.'));
          });
          host.interrupt();
        }),
    });
    using host = new TestHost({ rebalancer });
    withPlan(host);
    const { exitCode, errors } = await host.call('apply', 'p.json', '--yes');
    expect(exitCode).toBe(130);
    expect(errors).toContain('Stopping at the next safe point. Ctrl-C again leaves at once.');
    expect(errors).toContain('Take it up again with `shardline resume`');
    expect(host.leftWith).toBe(130);
  });
});

describe('steering and ending', () => {
  const moving = (over: Parameters<typeof handMade>[0] = {}) =>
    handMade({
      status: async () => ({ ...STATUS, active: [COPYING], recent: [] }),
      move: async (id) => (id === 'last' || id === COPYING.id ? COPYING : undefined),
      ...over,
    });

  test.each(['last', COPYING.id, '0f3a', COPYING.planId])(
    'a move is named by %s',
    async (handle) => {
      const told: unknown[] = [];
      using host = new TestHost({
        rebalancer: moving({
          steer: async (id, steering) => {
            told.push([id, steering]);
            return { ...COPYING, steering: { ...COPYING.steering, ...steering } };
          },
        }),
      });
      const { exitCode, output } = await host.call('pause', handle);
      expect(exitCode).toBe(0);
      expect(told).toEqual([[COPYING.id, { isPaused: true }]]);
      expect(output).toContain('paused by an operator');
      expect(output).toContain('Next: shardline continue 0f3a9c1e');
    },
  );

  test('a move that there is not is named with those there are', async () => {
    using host = new TestHost({ rebalancer: moving() });
    const { exitCode, errors } = await host.call('pause', 'zzzz');
    expect(exitCode).toBe(1);
    expect(errors).toContain(COPYING.id);
  });

  test.each([
    ['20MB', 20_000_000],
    ['1GiB', 1_073_741_824],
    ['off', undefined],
  ])('a throttle of %s is %s bytes a second', async (rate, bytesPerSecond) => {
    const told: unknown[] = [];
    using host = new TestHost({
      rebalancer: moving({
        steer: async (_, steering) => {
          told.push(steering);
          return COPYING;
        },
      }),
    });
    expect((await host.call('throttle', 'last', rate)).exitCode).toBe(0);
    expect(told).toEqual([{ bytesPerSecond }]);
  });

  test('a rate that is none is refused before anything is opened', async () => {
    using host = new TestHost({ rebalancer: moving() });
    expect((await host.call('throttle', 'last', 'fast')).errors).toContain("'fast' is no rate");
    expect(host.opened).toBeUndefined();
  });

  test('abort is described without being done', async () => {
    using host = new TestHost({ rebalancer: moving({ describeMove: async () => STEPS }) });
    const { exitCode, output } = await host.call('abort', 'last', '--dry-run');
    expect(exitCode).toBe(0);
    expect(output).toContain('DELETE FROM users WHERE false');
    expect(output).toContain('Nothing was changed.');
    expect(output).toContain('Next: shardline abort 0f3a9c1e');
  });

  test('a way that a move cannot take has no steps', async () => {
    using host = new TestHost({ rebalancer: moving({ describeMove: async () => [] }) });
    const { output } = await host.call('rollback', 'last', '--dry-run');
    expect(output).toContain('Nothing would be done.');
  });

  test('abort gives every open move of a plan up', async () => {
    const other = {
      ...COPYING,
      id: '77770000-aaaa-4bbb-8ccc-111111111111',
      startedAtMs: COPYING.startedAtMs + 1,
    };
    const aborted: string[] = [];
    using host = new TestHost({
      rebalancer: moving({
        status: async () => ({ ...STATUS, active: [COPYING, other], recent: [] }),
        abort: async (id) => {
          aborted.push(id);
          return { ...COPYING, id, state: 'aborted' };
        },
      }),
    });
    expect((await host.call('abort', COPYING.planId, '--yes')).exitCode).toBe(0);
    expect(aborted).toEqual([other.id, COPYING.id]);
  });
});

describe('secrets', () => {
  test('no output holds a password, whoever says it', async () => {
    const canary = 'hunter2secret';
    const rebalancer = handMade({
      status: () => Promise.reject(new Error(`password ${canary} was refused for ${canary}`)),
      doctor: async () => [
        {
          code: 'ROLE',
          severity: 'blocker',
          shard: 'one',
          subject: 'role',
          message: `conninfo is host=x password=${canary}`,
          remedy: `See postgres://app:${canary}@x/y`,
          sql: `ALTER ROLE a PASSWORD '${canary}'`,
        },
      ],
    });
    for (const format of [[], ['--json'], ['--ndjson']]) {
      for (const words of [
        ['status'],
        ['doctor'],
        ['config', 'print', '--origin'],
        ['locate', '1'],
      ]) {
        using host = new TestHost({ rebalancer });
        const { output, errors } = await host.call(...words, ...format);
        expect(output + errors).not.toBe('');
        expect(`${words} ${format}: ${output}${errors}`).not.toContain(canary);
      }
    }
  });
});

describe('configuration', () => {
  test('flags go before variables, variables before the file, the file before what holds by itself', async () => {
    const config = {
      ...TWO,
      administration: { limits: { lockTimeout: '1s', pauseTimeout: '2s', rollbackWindow: '3h' } },
    };
    using host = new TestHost({
      config,
      rebalancer: handMade(),
      environment: { SHARDLINE_LOCK_TIMEOUT: '4s', SHARDLINE_PAUSE_TIMEOUT: '5s' },
    });
    const { output } = await host.call('config', 'print', '--lock-timeout', '6s', '--json');
    const settings = Object.fromEntries(
      JSON.parse(output).settings.map((each: { name: string }) => [each.name, each]),
    );
    expect(settings.lockTimeout).toMatchObject({ value: '6s', origin: '--lock-timeout' });
    expect(settings.pauseTimeout).toMatchObject({ value: '5s', origin: 'SHARDLINE_PAUSE_TIMEOUT' });
    expect(settings.rollbackWindow).toMatchObject({
      value: '3h',
      origin: expect.stringContaining('administration.limits.rollbackWindow'),
    });
    expect(settings.slotBytes).toMatchObject({ value: 10_737_418_240, origin: 'default' });
    expect(settings.verify).toMatchObject({ value: true, origin: 'default' });
  });

  test('what was settled is what the rebalancer is opened with', async () => {
    using host = new TestHost({
      config: { ...TWO, administration: { limits: { pauseTimeout: '2s' } } },
      rebalancer: handMade({ resume: async () => ({ planId: undefined, moves: [], epoch: 12 }) }),
      environment: {
        SHARDLINE_CATALOG: 'postgres://boss@127.0.0.1:1/other',
        SHARDLINE_LEASE: '20s',
      },
    });
    await host.call('resume', '--slot-bytes', '2GB', '--no-verify', '--routers-timeout', '3m');
    expect(host.opened).toMatchObject({
      name: 'tester',
      catalog: { primary: 'postgres://boss@127.0.0.1:1/other' },
      lease: '20s',
      limits: {
        pauseTimeout: '2s',
        slotBytes: 2_000_000_000,
        verify: false,
        routersTimeout: '3m',
      },
    });
  });

  test('how large a move may be is asked for where a plan is made', async () => {
    for (const words of [
      ['plan', 'drain', 'two'],
      ['plan', '--check'],
      ['shards', 'drain', 'two', '--dry-run'],
      ['config', 'print'],
    ]) {
      using host = new TestHost({ config: TWO, rebalancer: handMade({}) });
      const { errors } = await host.call(...words, '--move-bytes', '2GB');
      expect(errors).not.toContain('Unknown option');
      if (words[0] !== 'config')
        expect(host.opened).toMatchObject({ limits: { moveBytes: 2_000_000_000 } });
    }
    using host = new TestHost({ config: TWO, rebalancer: handMade({}) });
    expect((await host.call('resume', '--move-bytes', '2GB')).errors).toContain('Unknown option');
  });

  test('unknown members are named with their paths', async () => {
    using host = new TestHost({
      config: { ...TWO, administration: { limts: {} }, shard: {} },
      rebalancer: handMade(),
    });
    const { errors } = await host.call('status');
    expect(errors).toContain("administration.limts: is no option; did you mean 'limits'?");
    expect(errors).toContain("shard: is no option; did you mean 'shards'?");
  });

  test('a variable that is referred to and not set is named', async () => {
    const catalog = 'env:NOWHERE_TO_BE_FOUND';
    using host = new TestHost({ config: { ...TWO, catalog }, rebalancer: handMade() });
    expect((await host.call('status')).errors).toContain(
      'catalog: the environment variable NOWHERE_TO_BE_FOUND is not set',
    );
  });

  test('a TypeScript file is found from a folder below, whether or not its library is there', async () => {
    using host = new TestHost({ config: false, rebalancer: handMade() });
    host.write(
      'shardline.config.ts',
      `import { defineConfig } from 'shardline';\nconst config: object = ${JSON.stringify(TWO)};\nexport default defineConfig(config as never);`,
    );
    const { exitCode, output } = await host.call('shards', '--config', 'shardline.config.ts');
    expect(exitCode).toBe(0);
    expect(output).toContain('one');
  });
});
