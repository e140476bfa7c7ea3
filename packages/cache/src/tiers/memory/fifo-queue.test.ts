import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FifoQueue, QueueMember } from './fifo-queue.js';

describe('the queue', () => {
  it('gives back in the order of arrival what has not left before', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20)), (steps) => {
        const queue = new FifoQueue<QueueMember>();
        const expected: QueueMember[] = [];
        for (const [index, step] of steps.entries()) {
          if (step < 10) {
            const member = new QueueMember(`k${index}`, step);
            queue.push(member);
            expected.push(member);
          } else if (step < 15) {
            expect(queue.shift()).toBe(expected.shift());
          } else {
            const [left] = expected.splice(step % Math.max(1, expected.length), 1);
            if (left !== undefined) queue.remove(left);
          }
          expect(queue.size).toBe(expected.length);
          expect(queue.bytes).toBe(expected.reduce((sum, { bytes }) => sum + bytes, 0));
        }
        const rest = expected.map(() => queue.shift());
        expect(rest).toEqual(expected);
        expect(queue.shift()).toBe(undefined);
      }),
    );
  });

  it('keeps no neighbour alive through a member that has left', () => {
    const queue = new FifoQueue<QueueMember>();
    const members = ['a', 'b', 'c'].map((key) => new QueueMember(key, 1));
    for (const member of members) queue.push(member);
    const middle = members[1] as QueueMember;
    queue.remove(middle);
    expect([middle.queue, middle.older, middle.newer]).toEqual([undefined, undefined, undefined]);
  });

  it('refuses to let go of what is in another queue', () => {
    const other = new FifoQueue<QueueMember>();
    const member = new QueueMember('a', 1);
    other.push(member);
    expect(() => new FifoQueue<QueueMember>().remove(member)).toThrow('a is not in this queue.');
    expect(other.size).toBe(1);
  });
});
