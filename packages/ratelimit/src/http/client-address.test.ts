import { describe, expect, test } from 'vitest';
import { clientAddressReader } from './client-address.js';
import { rateLimitFields } from './headers.js';

describe('the address of a client', () => {
  test.each([
    ['no proxy: the peer, whatever it claims', 0, '6.6.6.6', '10.0.0.1', '10.0.0.1'],
    ['one proxy', 1, '6.6.6.6, 7.7.7.7', '10.0.0.1', '7.7.7.7'],
    ['two proxies', 2, '6.6.6.6, 7.7.7.7', '10.0.0.1', '6.6.6.6'],
    ['more proxies than entries', 5, '7.7.7.7', '10.0.0.1', '7.7.7.7'],
    ['an entry that is no address ends the chain', 2, 'junk, 7.7.7.7', '10.0.0.1', '7.7.7.7'],
    ['a port', 1, '7.7.7.7:443', '10.0.0.1', '7.7.7.7'],
    ['IPv4 in IPv6', 0, undefined, '::ffff:10.0.0.1', '10.0.0.1'],
    ['IPv6 by its network', 1, '2001:db8:1:2:3:4:5:6', '10.0.0.1', '2001:db8:1::/56'],
    ['IPv6 with a port', 1, '[2001:db8:1:ff::1]:443', '10.0.0.1', '2001:db8:1::/56'],
    ['no peer', 0, '7.7.7.7', undefined, 'unknown'],
  ])('%s', (_, trusted, forwarded, remote, expected) => {
    expect(clientAddressReader(trusted, 56)(forwarded, remote)).toBe(`address:${expected}`);
  });

  test('is found behind named ranges only', () => {
    const read = clientAddressReader(['10.0.0.0/8', 'fd00::/8'], 64);
    expect(read('6.6.6.6, 10.1.1.1', '10.0.0.1')).toBe('address:6.6.6.6');
    expect(read('6.6.6.6', '11.0.0.1')).toBe('address:11.0.0.1');
    expect(read('2001:db8::1', 'fd00::1')).toBe('address:2001:db8::/64');
  });

  test('faults are named', () => {
    expect(() => clientAddressReader(['10.0.0.0/99'], 56)).toThrow(RangeError);
    expect(() => clientAddressReader(-1, 56)).toThrow(/0 or more/);
    expect(() => clientAddressReader(0, 0)).toThrow(/1 to 128/);
  });
});

describe('draft-6 fields', () => {
  test('say limit, remaining and reset of the policy that decides', () => {
    const state = {
      policy: 'a',
      limit: 10,
      windowMs: 60_000,
      burst: 20,
      remaining: 0,
      retryAfterMs: 1,
      resetMs: 120_000,
      isShadow: false,
    };
    const decision = {
      allowed: false,
      remaining: 0,
      retryAfterMs: 1,
      resetMs: 120_000,
      policy: 'a',
      limits: [state],
      source: 'memory' as const,
      shadowDenied: false,
    };
    expect(rateLimitFields(decision, 'draft-6')).toEqual({
      'RateLimit-Policy': '10;w=60',
      'RateLimit-Limit': '20',
      'RateLimit-Remaining': '0',
      'RateLimit-Reset': '1',
      'Retry-After': '1',
    });
    expect(rateLimitFields(decision, false)).toEqual({ 'Retry-After': '1' });
  });
});
