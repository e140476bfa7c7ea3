import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'vite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readHistory } from './history.js';
import { LOOP_DELAY_EVENT, recordLoopDelay } from './loop-delay.js';
import { openRecorder } from './recorder.js';
import { checkRegister } from './register.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'shardline-recorder-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const path = (name: string) => join(folder, `${name}.jsonl`);
const recorderOf = (name: string) => openRecorder({ path: path(name), process: name });

describe('recording', () => {
  it('has the invocation on disk before the operation acts, and the rest after', async () => {
    using recorder = recorderOf('w1');
    const result = await recorder
      .caller()
      .run({ kind: 'update', key: 'k', value: 'v' }, async (op) => {
        const lines = readFileSync(path('w1'), 'utf8');
        expect(JSON.parse(lines)).toMatchObject({ type: 'invoke', op, key: 'k', value: 'v' });
        return { version: 4, node: 'a' };
      });
    expect(result).toEqual({ outcome: 'ok', fields: { version: 4, node: 'a' } });
    const [operation] = readHistory([path('w1')]).operations;
    expect(operation).toMatchObject({
      op: 'w1.1',
      outcome: 'ok',
      version: 4,
      recorder: 'w1.jsonl',
    });
    expect((operation?.returnedNs as bigint) >= (operation?.invokedNs as bigint)).toBe(true);
  });

  it('classifies and records what was thrown, and hands it back as a value', async () => {
    using recorder = recorderOf('w1');
    const refused = Object.assign(new Error('no'), { code: 'SL001', severity: 'ERROR' });
    const result = await recorder
      .caller()
      .run({ kind: 'update', key: 'k', value: 'v' }, async () => {
        throw refused;
      });
    expect(result).toEqual({ outcome: 'fail', error: refused });
    expect(readHistory([path('w1')]).operations[0]).toMatchObject({
      outcome: 'fail',
      sqlstate: 'SL001',
      error: 'SL001',
    });
  });

  it('goes on under a new process name after an unknown outcome, and only then', async () => {
    using recorder = recorderOf('w1');
    const caller = recorder.caller();
    const names = [caller.process];
    for (const code of ['23505', 'ECONNRESET', undefined]) {
      await caller.run({ kind: 'call' }, async () => {
        if (code !== undefined) throw Object.assign(new Error(code), { code });
        return {};
      });
      names.push(caller.process);
    }
    expect(names).toEqual(['w1/1', 'w1/1', 'w1/1~2', 'w1/1~2']);
    expect(recorder.caller().process).toBe('w1/2');
  });

  it('lets a test decide outcomes itself', () => {
    using recorder = recorderOf('w1');
    const caller = recorder.caller();
    caller.begin({ kind: 'read', key: 'k' }).ok({ value: null });
    caller.begin({ kind: 'read', key: 'k' }).fail();
    caller.begin({ kind: 'read', key: 'k' }).info({ error: 'LOST' });
    const { operations } = readHistory([path('w1')]);
    expect(operations.map((operation) => operation.outcome)).toEqual(['ok', 'fail', 'info']);
  });

  it('makes values and operations that no other process of the run has', () => {
    using a = recorderOf('a');
    using b = recorderOf('b');
    const values = [a, b, a].map((recorder) => recorder.uniqueValue());
    expect(values).toEqual(['a.1', 'b.1', 'a.2']);
  });

  it('writes nanosecond fields so that they come back whole', () => {
    using recorder = recorderOf('w1');
    const deadlineNs = 2n ** 60n + 1n;
    recorder.caller().begin({ kind: 'call', deadlineNs }).ok();
    recorder.event('move-state', { subject: 'm1', state: 'copying', atNs: 7n });
    const history = readHistory([path('w1')]);
    expect(history.operations[0]?.deadlineNs).toBe(deadlineNs);
    expect(history.events).toEqual([
      { recorder: 'w1.jsonl', name: 'move-state', subject: 'm1', state: 'copying', atNs: 7n },
    ]);
  });
});

describe('misuse that would spoil a history is refused', () => {
  it('a second operation of a caller while one is open', () => {
    using recorder = recorderOf('w1');
    const caller = recorder.caller();
    caller.begin({ kind: 'call' });
    expect(() => caller.begin({ kind: 'call' })).toThrow(/while w1\.1 was open/);
  });

  it('an operation ended twice', () => {
    using recorder = recorderOf('w1');
    const pending = recorder.caller().begin({ kind: 'call' });
    pending.ok();
    expect(() => pending.fail()).toThrow(/ended before/);
  });

  it('a file that exists, a recorder without a name, one that is closed', () => {
    const recorder = recorderOf('w1');
    expect(() => recorderOf('w1')).toThrow(/EEXIST/);
    expect(() => openRecorder({ path: path('x'), process: '' })).toThrow(/name of its process/);
    recorder.close();
    recorder.close();
    expect(() => recorder.event('late')).toThrow(/closed/);
  });
});

describe('the delay of the event loop', () => {
  it('is recorded with the window in which the loop stood still', async () => {
    using recorder = recorderOf('w1');
    const stop = recordLoopDelay(recorder, 5);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const fromNs = process.hrtime.bigint();
    while (process.hrtime.bigint() - fromNs < 60_000_000n);
    const untilNs = process.hrtime.bigint();
    await new Promise((resolve) => setTimeout(resolve, 20));
    stop[Symbol.dispose]();
    const stalls = readHistory([path('w1')]).events.filter(
      (event) => event.name === LOOP_DELAY_EVENT,
    );
    const found = stalls.find(
      (stall) => stall.atNs < untilNs && (stall.untilNs as bigint) >= untilNs,
    );
    expect(found?.delayNs).toBeGreaterThan(50_000_000n);
  });
});

describe('a process that is killed', () => {
  it('leaves a history that can be read, with its last operations unknown', async () => {
    const entry = join(import.meta.dirname, 'recorder.ts');
    await build({
      configFile: false,
      logLevel: 'silent',
      build: { ssr: entry, outDir: folder, emptyOutDir: false },
    });
    const file = join(folder, 'victim.mjs');
    writeFileSync(
      file,
      `import { openRecorder } from './recorder.js';
      const recorder = openRecorder({ path: ${JSON.stringify(path('victim'))}, process: 'victim' });
      const caller = recorder.caller();
      for (;;) {
        const value = recorder.uniqueValue();
        await caller.run({ kind: 'update', key: 'k', value }, async () => ({ version: 1 }));
        if (value === 'victim.200') process.stdout.write('going');
      }`,
    );
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    const { operations } = readHistory([path('victim')]);
    expect(operations.length).toBeGreaterThanOrEqual(200);
    expect(operations.filter((operation) => operation.outcome === 'info').length).toBeLessThan(2);
    expect(checkRegister(readHistory([path('victim')])).valid).toBe(true);
  });
});
