// biome-ignore-all lint/suspicious/noTemplateCurlyInString: this is what references look like
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rebalancerOptionsOf } from 'shardline';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { isConfiguration } from '../test-host/published-schema.js';
import { findConfig } from './find-config.js';
import { loadConfig } from './load-config.js';
import { createMask, secretsOf } from './mask.js';
import { parseBytes, resolveSettings, withOverrides } from './settings.js';
import { skeleton } from './skeleton.js';

let folder: string;
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'shardline-config-')));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('finding', () => {
  test('the nearest file upwards counts, TypeScript before JSON', () => {
    mkdirSync(join(folder, 'a/b'), { recursive: true });
    for (const name of ['shardline.config.json', 'shardline.config.ts', 'a/shardline.config.mjs']) {
      writeFileSync(join(folder, name), '');
    }
    expect(findConfig(join(folder, 'a/b'), undefined)).toBe(join(folder, 'a/shardline.config.mjs'));
    expect(findConfig(folder, undefined)).toBe(join(folder, 'shardline.config.ts'));
  });

  test('a file that was named and is not there is answered with the one that may be meant', () => {
    writeFileSync(join(folder, 'staging.config.ts'), '');
    expect(() => findConfig(folder, 'stagin.config.ts')).toThrow(
      /did you mean 'staging.config.ts'/,
    );
  });
});

describe('loading', () => {
  test.each([
    ['c.json', '{"name":"x"}'],
    ['c.mjs', 'export default { name: "x" };'],
    ['c.ts', 'const name: string = "x"; export default { name } satisfies object;'],
    ['c.js', 'module.exports = { name: "x" };'],
  ])('%s', async (name, text) => {
    writeFileSync(join(folder, name), text);
    expect(await loadConfig(join(folder, name))).toMatchObject({ name: 'x' });
  });

  test.each([
    ['broken.ts', 'export default {', /cannot be loaded/],
    ['throws.mjs', 'throw new Error("no vault today")', /no vault today/],
    ['empty.ts', 'export const config = undefined;', /exports no configuration/],
    ['broken.json', '{', /cannot be loaded/],
    ['text.json', '"x"', /exports no configuration/],
  ])('what does not load is refused with its reason: %s', async (name, text, reason) => {
    writeFileSync(join(folder, name), text);
    await expect(loadConfig(join(folder, name))).rejects.toThrow(reason);
  });

  test.each(['ts', 'mjs', 'json'] as const)(
    'the skeleton as %s is a right configuration',
    async (kind) => {
      vi.stubEnv('DATABASE_PASSWORD', 'a@b');
      vi.stubEnv('OWNER_PASSWORD', 'c/d');
      const path = join(folder, `shardline.config.${kind}`);
      writeFileSync(path, skeleton(kind, "bob's"));
      const config = await loadConfig(path);
      expect(config.name).toBe("bob's");
      expect(rebalancerOptionsOf({ ...config, name: 'bob' }).catalog).toMatchObject({
        primary: 'postgres://owner:c%2Fd@127.0.0.1:5432/catalog',
      });
    },
  );

  test('the published schema knows the skeleton, and names what is mistyped', () => {
    const right = JSON.parse(skeleton('json', 'shop'));
    expect(isConfiguration(right), JSON.stringify(isConfiguration.errors)).toBe(true);
    const { keyspaces: _, ...lacking } = right;
    expect(isConfiguration(lacking)).toBe(false);
    expect(isConfiguration({ ...right, operationTimout: '5s' })).toBe(false);
    expect(isConfiguration.errors).toMatchObject([
      { params: { additionalProperty: 'operationTimout' } },
    ]);
  });
});

describe('settings', () => {
  test('the file is not changed by what is laid over it', () => {
    const config = { name: 'x', administration: { limits: { lockTimeout: '1s' } } } as never;
    const settings = resolveSettings({ flags: { lockTimeout: '2s' }, environment: {} });
    expect(withOverrides(config, settings)).toMatchObject({
      administration: { limits: { lockTimeout: '2s' } },
    });
    expect(config).toMatchObject({ administration: { limits: { lockTimeout: '1s' } } });
  });

  test.each([
    ['1048576', 1_048_576],
    ['64MB', 64_000_000],
    ['1.5 GiB', 1_610_612_736],
    ['MB', undefined],
    ['-1', undefined],
    ['5 parsecs', undefined],
  ])('%s is %s bytes', (text, bytes) => expect(parseBytes(text)).toBe(bytes));

  test('an empty variable is as good as none', () => {
    const settings = resolveSettings({ flags: {}, environment: { SHARDLINE_FORMAT: '' } });
    expect(settings.format).toMatchObject({ value: 'text', source: 'default' });
  });
});

describe('masking', () => {
  test('knows what secrets look like', () => {
    const mask = createMask();
    expect(mask('postgres://app:p%40ss@host/db?sslmode=require&password=zz')).toBe(
      'postgres://app:***@host/db?sslmode=require&password=***',
    );
    expect(mask("host=a password='it''s' dbname=b")).toBe('host=a password=*** dbname=b');
    expect(mask('redis://:secret@cache:6379')).toBe('redis://:***@cache:6379');
    expect(mask('see https://example.org/a@b')).toBe('see https://example.org/a@b');
  });

  test('knows the secrets of a configuration, as they are written and as they are meant', () => {
    const secrets = secretsOf({
      catalog: 'postgres://app:p%40ssword@host/db',
      redis: { host: 'cache', password: 'opensesame' },
      sessions: { signingKeys: [{ id: 'a', secret: 'k'.repeat(32) }] },
    });
    const mask = createMask(secrets);
    expect(mask(`p@ssword p%40ssword opensesame ${'k'.repeat(32)}`)).toBe('*** *** *** ***');
  });

  test('a password that is a public word too makes no stars of the output', () => {
    const mask = createMask(
      secretsOf({ shards: { users: { primary: 'postgres://users:users@h/d' } } }),
    );
    expect(mask('keyspace users')).toBe('keyspace users');
    expect(mask('postgres://users:users@h/d')).toBe('postgres://users:***@h/d');
  });
});
