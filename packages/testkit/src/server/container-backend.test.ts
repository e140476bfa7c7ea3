import { isShardlineError } from '@shardline/core';
import { afterEach, describe, expect, test } from 'vitest';
import { startPostgres } from '../postgres/start-postgres.js';
import { connectToEngine } from './container-engine.js';
import { startOtherRun } from './fixtures/other-run.js';
import { ownTemporaryFolder, useTemporaryFolder } from './fixtures/own-temporary-folder.js';
import { waitUntil } from './wait-until.js';

/** Only with SHARDLINE_BACKEND=containers: what the engine shows. */

const before = process.env['SHARDLINE_POSTGRES_IMAGE'];
afterEach(() => {
  if (before === undefined) delete process.env['SHARDLINE_POSTGRES_IMAGE'];
  else process.env['SHARDLINE_POSTGRES_IMAGE'] = before;
});

async function containersNamed(part: string): Promise<string[]> {
  const { container } = await connectToEngine();
  const all = await container.dockerode.listContainers({ all: true });
  return all.flatMap(({ Names }) => Names).filter((name) => name.includes(part));
}

describe('a container', () => {
  test('bears the name of its server and is gone when that is stopped', async () => {
    const postgres = await startPostgres({ name: 'named-here' });
    expect(await containersNamed('-named-here')).toHaveLength(1);
    expect(postgres.pid).toBeUndefined();
    await postgres.stop();
    expect(await containersNamed('-named-here')).toEqual([]);
  });

  test('that is killed behind our back is down soon, and can be restarted', async () => {
    await using postgres = await startPostgres({ name: 'struck' });
    const { container } = await connectToEngine();
    const [name = ''] = await containersNamed('-struck');
    await container.getById(name.slice(1)).kill();
    await waitUntil(() => postgres.state === 'down', { what: 'the end to be noticed' });
    await postgres.restart();
    expect((await postgres.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
  });

  test('is removed when the run is killed by SIGKILL, without any reaper', async () => {
    await using temporary = await ownTemporaryFolder();
    const run = await startOtherRun({ name: 'forsaken', replica: true }, temporary);
    expect(await containersNamed('-forsaken')).toHaveLength(2);
    await run.kill();
    await waitUntil(async () => (await containersNamed('-forsaken')).length === 0, {
      what: 'the containers to be removed',
    });
  });

  test('of an image that cannot be had names the image and its variable, and leaves nothing', async () => {
    await using temporary = await ownTemporaryFolder();
    using _used = useTemporaryFolder(temporary);
    process.env['SHARDLINE_POSTGRES_IMAGE'] = 'localhost:1/no/such-image:1';
    await expect(startPostgres({ name: 'imageless' })).rejects.toSatisfy(
      (error) =>
        isShardlineError(error, 'TESTKIT_IMAGE_MISSING') &&
        error.message.includes('localhost:1/no/such-image:1') &&
        error.message.includes('SHARDLINE_POSTGRES_IMAGE'),
    );
    expect(await containersNamed('-imageless')).toEqual([]);
    expect(await temporary.list()).toEqual([]);
  });
});
