import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BehindBuffer, type BufferedWrite } from './behind-buffer.js';

describe('the buffer of write-behind', () => {
  it('takes as many bytes as the writes that it holds, whatever happened to the others', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('put' as const), key: fc.nat(4), bytes: fc.nat(1000) }),
      fc.record({ kind: fc.constant('take' as const), limit: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ kind: fc.constantFrom('settle' as const, 'back' as const), at: fc.nat(5) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const buffer = new BehindBuffer();
        const underWay: BufferedWrite[] = [];
        for (const one of steps) {
          if (one.kind === 'put') {
            const write = {
              key: `k${one.key}`,
              value: 1,
              bytes: one.bytes,
              options: {},
              dueAtMs: 0,
            };
            buffer.put(write, 0);
          } else if (one.kind === 'take') {
            underWay.push(...buffer.take({ limit: one.limit, nowMs: 1, urgentUpTo: 0 }));
          } else {
            const [write] = underWay.splice(one.at % Math.max(1, underWay.length), 1);
            if (write === undefined) continue;
            if (one.kind === 'settle') {
              buffer.settle(write);
              buffer.settle(write); // told twice, it counts once
            } else buffer.putBack(write, 0, new Error('not now'));
          }
        }
        const held = buffer.bytes;
        const all = buffer.takeAll();
        const sum = [...all.underWay, ...all.waiting].reduce((bytes, one) => bytes + one.bytes, 0);
        expect(held).toBe(sum);
        expect(buffer.bytes).toBe(0);
      }),
    );
  });
});
