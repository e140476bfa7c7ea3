import { ManualClock } from '@shardline/core';
import { describe, expect, test } from 'vitest';
import { SlotGate } from './slot-gate.js';

const gateOf = (queueLimit = 10) => {
  const clock = new ManualClock();
  return { clock, gate: new SlotGate({ keyspace: 'k', slots: 16, queueLimit, clock }) };
};
const soon = { untilMs: 1000 };

describe('SlotGate', () => {
  test('a held slot makes callers wait, in order, and others pass', async () => {
    const { gate } = gateOf();
    gate.hold('h', [3]);
    expect(gate.tryEnter(4)).toBe(true);
    const order: number[] = [];
    const waits = [1, 2, 3].map((n) => gate.enter(3, soon).then(() => order.push(n)));
    expect(gate.waiting).toBe(3);
    gate.release('h');
    await Promise.all(waits);
    expect(order).toEqual([1, 2, 3]);
    expect(gate.waiting).toBe(0);
  });

  test('draining ends when what passed before has left, and not earlier', async () => {
    const { gate } = gateOf();
    gate.tryEnter(3);
    gate.tryEnter(3);
    gate.tryEnter(5);
    gate.hold('h', [3, 4]);
    let drained = false;
    const draining = gate.drained([3, 4], { timeoutMs: 1000 }).then(() => {
      drained = true;
    });
    gate.leave(3);
    await Promise.resolve();
    expect(drained).toBe(false);
    gate.leave(3);
    await draining;
    expect(drained).toBe(true);
  });

  test('a caller is told at its deadline which hold it waited for', async () => {
    const { gate, clock } = gateOf();
    gate.hold('move-7', [3]);
    const waiting = gate.enter(3, soon);
    const expectation = expect(waiting).rejects.toMatchObject({
      code: 'SLOT_HELD',
      retryable: true,
      details: { hold: 'move-7', slot: 3 },
    });
    await clock.advance(1000);
    await expectation;
    expect(clock.pending).toBe(0);
  });

  test('the queue is bounded and a signal leaves it', async () => {
    const { gate } = gateOf(1);
    gate.hold('h', [3]);
    const controller = new AbortController();
    const first = gate.enter(3, { ...soon, signal: controller.signal });
    await expect(gate.enter(3, soon)).rejects.toMatchObject({ code: 'QUEUE_FULL' });
    controller.abort();
    await expect(first).rejects.toMatchObject({ code: 'ABORTED' });
  });

  test('two holds over one slot both have to go', async () => {
    const { gate } = gateOf();
    gate.hold('one', [3]);
    gate.hold('two', [3]);
    let passed = false;
    const entering = gate.enter(3, soon).then(() => {
      passed = true;
    });
    gate.release('one');
    await new Promise((resolve) => setImmediate(resolve));
    expect(passed).toBe(false);
    gate.release('two');
    await entering;
  });

  test('draining has a deadline', async () => {
    const { gate, clock } = gateOf();
    gate.tryEnter(3);
    const draining = gate.drained([3], { timeoutMs: 500 });
    const expectation = expect(draining).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    await clock.advance(500);
    await expectation;
  });
});
