import { describe, expect, test } from 'vitest';
import { startPostgres } from '../postgres/start-postgres.js';
import { startOtherRun } from './fixtures/other-run.js';
import { ownTemporaryFolder, useTemporaryFolder } from './fixtures/own-temporary-folder.js';
import { isPortFree } from './port-probe.js';
import { waitUntil } from './wait-until.js';

/** On both backends; what only processes of this machine show is in native-guard.test.ts. */

describe('nothing is left', () => {
  test('after stop(): no folder, no port file, no listener, and the log can still be read', async () => {
    await using temporary = await ownTemporaryFolder();
    using _used = useTemporaryFolder(temporary.path);
    const postgres = await startPostgres({ name: 'brief' });
    const replica = await postgres.addReplica();
    await Promise.all([replica.stop(), postgres.stop()]);
    await postgres.stop();
    expect(postgres.state).toBe('removed');
    expect(await temporary.list()).toEqual([]);
    expect(await isPortFree(postgres.port)).toBe(true);
    expect(await isPortFree(replica.port)).toBe(true);
    expect(await postgres.logs()).toContain('ready to accept connections');
    await expect(postgres.restart()).rejects.toThrow('removed');
  });

  test('after stop() of servers that were killed or frozen', async () => {
    await using temporary = await ownTemporaryFolder();
    using _used = useTemporaryFolder(temporary.path);
    const [killed, frozen] = await Promise.all([
      startPostgres({ name: 'killed' }),
      startPostgres({ name: 'frozen' }),
    ]);
    await Promise.all([killed.kill(), frozen.freeze()]);
    await Promise.all([killed.stop(), frozen.stop()]);
    expect(await temporary.list()).toEqual([]);
    expect(await isPortFree(killed.port)).toBe(true);
    expect(await isPortFree(frozen.port)).toBe(true);
  });

  test('of a start that fails', async () => {
    await using temporary = await ownTemporaryFolder();
    using _used = useTemporaryFolder(temporary.path);
    await expect(startPostgres({ settings: { no_such_setting: 1 } })).rejects.toThrow(
      'unrecognized configuration parameter "no_such_setting"',
    );
    expect(await temporary.list()).toEqual([]);
  });

  test('of a replica whose start fails: neither its folder nor its slot', async () => {
    await using primary = await startPostgres();
    await using temporary = await ownTemporaryFolder();
    using _used = useTemporaryFolder(temporary.path);
    await expect(primary.addReplica({ settings: { no_such_setting: 1 } })).rejects.toThrow(
      'no_such_setting',
    );
    expect(await temporary.list()).toEqual([]);
    const { rows } = await primary.query('SELECT slot_name FROM pg_replication_slots');
    expect(rows).toEqual([]);
    expect(primary.replicas).toEqual([]);
  });

  test('of a start that is given up', async () => {
    await using temporary = await ownTemporaryFolder();
    using _used = useTemporaryFolder(temporary.path);
    const controller = new AbortController();
    const starting = startPostgres({ name: 'unwanted', signal: controller.signal });
    await waitUntil(async () => (await temporary.list()).some((name) => name.includes('port')), {
      what: 'the start to be under way',
    });
    controller.abort();
    await expect(starting).rejects.toSatisfy(() => controller.signal.aborted);
    expect(await temporary.list()).toEqual([]);
  });

  test('after the run was killed by SIGKILL in the middle', async () => {
    await using temporary = await ownTemporaryFolder();
    const run = await startOtherRun({ name: 'orphan', replica: true }, temporary.path);
    expect(run.servers).toHaveLength(2);
    expect(await temporary.list()).not.toEqual([]);
    await run.kill();
    await waitUntil(async () => (await temporary.list()).length === 0, {
      what: 'the temporary files to be removed',
    });
    for (const { port } of run.servers) {
      await waitUntil(() => isPortFree(port), { what: `port ${port} to be free` });
    }
  });
});

describe('two runs side by side', () => {
  test('do not disturb each other, not even when one ends', async () => {
    await using temporary = await ownTemporaryFolder();
    const runs = await Promise.all(
      ['left', 'right'].map((name) => startOtherRun({ name, replica: false }, temporary.path)),
    );
    const [left, right] = runs;
    const ports = runs.flatMap(({ servers }) => servers.map(({ port }) => port));
    expect(new Set(ports).size).toBe(2);
    expect(await left?.end()).toBe(0);
    expect(await isPortFree(ports[0] as number)).toBe(true);
    expect(await isPortFree(ports[1] as number)).toBe(false);
    expect(await right?.end()).toBe(0);
    expect(await temporary.list()).toEqual([]);
  });
});
