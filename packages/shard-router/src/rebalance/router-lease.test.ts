import { describe, expect, test } from 'vitest';
import { NO_LEASE } from '../topology/lease.js';
import {
  acknowledgement,
  isVerified,
  judgeRead,
  mayAcknowledge,
  type RoutedCall,
  routeCall,
  type SlotView,
} from './router-lease.js';

const view: SlotView = { revision: 4, owner: 'a', epoch: 2, isHeld: false };
const call = routeCall(view, 100) as RoutedCall;
const lease = { sinceMs: 50, endsAtMs: 200, revision: 4 };

describe('what a router may do', () => {
  test('a call goes to the owner, and nowhere while the slots are held', () => {
    expect(call).toEqual({ target: 'a', epoch: 2, revision: 4, routedAtMs: 100 });
    expect(routeCall({ ...view, isHeld: true }, 100)).toBeUndefined();
  });

  test('a hold is acknowledged with nothing in flight', () => {
    const held = { ...view, isHeld: true };
    expect(mayAcknowledge(held, [])).toBe(true);
    expect(mayAcknowledge(held, [call])).toBe(false);
  });

  test('another revision is acknowledged with nothing in flight that was routed before it', () => {
    expect(mayAcknowledge(view, [call])).toBe(true);
    expect(mayAcknowledge({ ...view, revision: 5 }, [call])).toBe(false);
  });

  test('an acknowledgement never goes back', () => {
    expect(acknowledgement(view, 3, [])).toBe(4);
    expect(acknowledgement({ ...view, revision: 5 }, 3, [call])).toBe(3);
    expect(acknowledgement(view, 6, [])).toBe(6);
  });

  test('a read is served only if it was routed and has ended within the lease', () => {
    expect(judgeRead(call, lease, 199)).toBe('serve');
    expect(judgeRead(call, lease, 200)).toBe('verify');
    expect(judgeRead(call, { ...lease, sinceMs: 101 }, 150)).toBe('verify');
    expect(judgeRead(call, NO_LEASE, 150)).toBe('verify');
  });

  test('a verified read counts if the shard has owned the slot since the epoch of its routing', () => {
    expect(isVerified(call, { isOwner: true, epoch: 2 })).toBe(true);
    expect(isVerified(call, { isOwner: true, epoch: 4 })).toBe(false);
    expect(isVerified(call, { isOwner: false, epoch: 2 })).toBe(false);
  });
});
