import { createServer } from 'node:http';
import { systemClock } from '@shardline/core';
import { describe, expect, test } from 'vitest';
import { Admission } from './admission.js';
import { closeInOrder } from './close-in-order.js';
import { closeOnSignals } from './close-on-signals.js';

describe('admission', () => {
  test('lets go on what belongs to work that was admitted, and nobody new', async () => {
    const admission = new Admission(systemClock);
    let goOn: () => void = () => {};
    const held = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const whole = admission.runWhole(async () => {
      await held;
      return admission.run(async () => 'part of it');
    });
    const drained = admission.drain(10_000);
    await expect(admission.run(async () => 'new')).rejects.toMatchObject({
      code: 'LAYER_DRAINING',
    });
    goOn();
    expect(await whole).toBe('part of it');
    expect(await drained).toBe(0);
  });

  test('says how many were left at the deadline', async () => {
    const admission = new Admission(systemClock);
    void admission.run(() => new Promise<void>(() => {}));
    expect(await admission.drain(20)).toBe(1);
  });
});

describe('the end in order', () => {
  test('serves on for a while, then closes servers, then the rest, whatever fails', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    const order: string[] = [];
    const step = (name: string, error?: Error) => ({
      close: async () => {
        order.push(name);
        if (error !== undefined) throw error;
      },
    });
    const report = await closeInOrder({
      timeoutMs: 10_000,
      readinessDelayMs: 30,
      servers: [server],
      clock: systemClock,
      admission: new Admission(systemClock),
      outbox: step('outbox') as never,
      limiters: [step('limits', new Error('gone')) as never],
      cache: step('cache') as never,
      router: step('router') as never,
      pools: [step('pools') as never],
    });
    expect(server.listening).toBe(false);
    expect(order).toEqual(['outbox', 'limits', 'cache', 'router', 'pools']);
    expect(report.steps.map(({ step: name }) => name)).toEqual([
      'readiness',
      'servers',
      'drain',
      'outbox',
      'limits',
      'cache',
      'router',
      'pools',
    ]);
    expect(report.clean).toBe(false);
    expect(report.steps.find(({ error }) => error !== undefined)?.step).toBe('limits');
  });
});

test('a signal closes the layer once, with what it was told, and the handlers come off again', async () => {
  const given: unknown[] = [];
  const report = { clean: true, abandonedCalls: 0, steps: [] };
  const closed = new Promise((resolve) => {
    const off = closeOnSignals(
      {
        close: async (options) => {
          given.push(options);
          return report;
        },
      },
      {
        signals: ['SIGUSR2'],
        exit: false,
        deadline: '5s',
        onClosed: (done) => {
          off();
          resolve(done);
        },
      },
    );
  });
  process.emit('SIGUSR2');
  process.emit('SIGUSR2');
  expect(await closed).toBe(report);
  expect(given).toEqual([{ deadline: '5s' }]);
  expect(process.listenerCount('SIGUSR2')).toBe(0);
});
