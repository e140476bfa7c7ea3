import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { imageFor } from './container-engine.js';
import { CONTAINER_FOLDER, containerScript } from './container-script.js';
import { textOfDockerLog } from './docker-log.js';
import { ownTemporaryFolder } from './fixtures/own-temporary-folder.js';

const run = promisify(execFile);

describe('the first process of a container', () => {
  test('makes the files, seeds once, and becomes the server without the variables', async () => {
    await using temporary = await ownTemporaryFolder();
    const odd = `it's "odd"\n$HOME %s \\n`;
    const script = containerScript({
      kind: 'redis',
      name: 'x',
      port: 1234,
      command: ({ port }) => ['sh', '-c', `echo served on ${port}; env`],
      files: () => ({ 'server.conf': odd }),
      seedScript: () => 'echo seeded >> seeds.txt',
      environment: { COLOUR: 'red' },
      isReady: () => Promise.resolve(true),
    });
    // The same script, in a folder of this test's instead of the container's.
    const [shell = '', ...rest] = script.entrypoint;
    const here = rest.map((part) => part.replaceAll(CONTAINER_FOLDER, temporary.path));
    const env = { PATH: process.env['PATH'], ...script.environment };
    const { stdout } = await run(shell, [...here, ...script.command], { env });
    await run(shell, [...here, ...script.command], { env });
    expect(stdout).toContain('served on 1234');
    expect(stdout).toContain('COLOUR=red');
    expect(stdout).not.toContain('SHARDLINE_FILE');
    expect(await readFile(`${temporary.path}/server.conf`, 'utf8')).toBe(odd);
    expect(await readFile(`${temporary.path}/seeds.txt`, 'utf8')).toBe('seeded\n');
  });

  test('that fails to seed does not start the server', async () => {
    await using temporary = await ownTemporaryFolder();
    const { entrypoint, command } = containerScript({
      kind: 'redis',
      name: 'x',
      port: 1,
      command: () => ['echo', 'served'],
      seedScript: () => 'false',
      isReady: () => Promise.resolve(true),
    });
    const [shell = '', ...rest] = entrypoint;
    const here = rest.map((part) => part.replaceAll(CONTAINER_FOLDER, temporary.path));
    await expect(run(shell, [...here, ...command])).rejects.toMatchObject({ code: 1, stdout: '' });
  });
});

describe('the image of a kind of server', () => {
  test('is the one that the environment names, else that of the version asked for', () => {
    const named = { SHARDLINE_POSTGRES_IMAGE: 'registry.example/postgres:17-odd' };
    expect(imageFor('postgres', 16, named)).toBe('registry.example/postgres:17-odd');
    expect(imageFor('postgres', 16, {})).toBe('postgres:16');
    expect(imageFor('memcached', undefined, { SHARDLINE_MEMCACHED_IMAGE: '' })).toBe(
      'memcached:1.6',
    );
  });
});

describe('the log of a container', () => {
  test('is the text of its frames, of both streams, also of one that is cut short', () => {
    const frame = (stream: number, text: string) => {
      const head = Buffer.alloc(8);
      head[0] = stream;
      head.writeUInt32BE(Buffer.byteLength(text), 4);
      return Buffer.concat([head, Buffer.from(text)]);
    };
    const log = Buffer.concat([frame(1, 'started\n'), frame(2, 'grüße\n'), frame(1, 'end')]);
    expect(textOfDockerLog(log)).toBe('started\ngrüße\nend');
    expect(textOfDockerLog(log.subarray(0, -1))).toBe('started\ngrüße\nen');
    expect(textOfDockerLog(Buffer.alloc(0))).toBe('');
  });
});
