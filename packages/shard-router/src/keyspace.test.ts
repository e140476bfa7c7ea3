import { describe, expect, test } from 'vitest';
import { murmur3x86 } from './hash/murmur3.js';
import { hashInt8Extended, hashTextExtended, uuidHashExtended } from './hash/postgres-hash.js';
import { Keyspace, type KeyspaceDefinition, type ShardKey, slotExpression } from './keyspace.js';

const keyspace = (more: Partial<KeyspaceDefinition> = {}) =>
  new Keyspace({ name: 'users', keyType: 'bigint', hash: 'postgres', slots: 4096, ...more });

const topBits = (hash: bigint, bits: bigint) => Number(BigInt.asUintN(64, hash) >> (64n - bits));

describe('Keyspace', () => {
  test('the slot is the top bits of the 64-bit hash', () => {
    for (const key of [0n, 1n, -1n, 42n, 2n ** 40n, -(2n ** 63n), 2n ** 63n - 1n]) {
      expect(keyspace().slotOf(key)).toBe(topBits(hashInt8Extended(key), 12n));
      expect(keyspace({ slots: 65536 }).slotOf(key)).toBe(topBits(hashInt8Extended(key), 16n));
      expect(keyspace({ slots: 2 }).slotOf(key)).toBe(topBits(hashInt8Extended(key), 1n));
    }
    expect(keyspace({ keyType: 'text' }).slotOf('🚀')).toBe(topBits(hashTextExtended('🚀'), 12n));
    const uuid = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11';
    const bytes = Buffer.from(uuid.replaceAll('-', ''), 'hex');
    expect(keyspace({ keyType: 'uuid' }).slotOf(uuid)).toBe(topBits(uuidHashExtended(bytes), 12n));
  });

  test('uuids of one moment are spread, where jumphash looks at their first eight bytes alone', () => {
    const ids = keyspace({ keyType: 'uuid', slots: 16 });
    const counts = new Map<number, number>();
    for (let at = 0; at < 1600; at += 1) {
      const slot = ids.slotOf(`0192f3a1-7c4e-7abc-8000-${at.toString(16).padStart(12, '0')}`);
      counts.set(slot, (counts.get(slot) ?? 0) + 1);
    }
    expect(counts.size).toBe(16);
    expect(Math.max(...counts.values())).toBeLessThan(160);
  });

  test('an object is no key, where hashring takes any two for one', () => {
    for (const keyType of ['bigint', 'text', 'uuid'] as const) {
      for (const key of [{}, { id: 1 }, ['1'], new Date(0), Buffer.from('x'), Symbol('x'), true]) {
        expect(() => keyspace({ keyType }).slotOf(key as never)).toThrow(
          expect.objectContaining({ code: 'KEY_INVALID' }),
        );
      }
    }
  });

  test('a number, a bigint and a decimal text of one value have one slot', () => {
    const values = [0, 1, -1, 42, 2 ** 31, 2 ** 32, -(2 ** 32), 2 ** 53 - 1, -(2 ** 53) + 1];
    for (const hash of ['postgres', 'murmur3'] as const) {
      const { slotOf } = keyspace({ hash, slots: 65536 });
      for (const value of values) {
        expect(slotOf(BigInt(value))).toBe(slotOf(value));
        expect(slotOf(String(value))).toBe(slotOf(value));
      }
      for (const text of ['9223372036854775807', '-9223372036854775808', '1234567890123456789']) {
        expect(slotOf(text)).toBe(slotOf(BigInt(text)));
      }
    }
  });

  test('uuids in capitals, or without hyphens, are the same uuids', () => {
    for (const hash of ['postgres', 'murmur3'] as const) {
      const { slotOf } = keyspace({ keyType: 'uuid', hash, slots: 65536 });
      const uuid = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11';
      expect(slotOf(uuid.toUpperCase())).toBe(slotOf(uuid));
      expect(slotOf(uuid.replaceAll('-', ''))).toBe(slotOf(uuid));
    }
  });

  test('murmur3 slots are the top bits of the 32-bit hash of the UTF-8 text', () => {
    expect(keyspace({ keyType: 'text', hash: 'murmur3' }).slotOf('héllo')).toBe(
      murmur3x86('héllo') >>> 20,
    );
  });

  test.each<[KeyspaceDefinition['keyType'], unknown]>([
    ['bigint', null],
    ['bigint', undefined],
    ['bigint', Number.NaN],
    ['bigint', 1.5],
    ['bigint', 2 ** 53],
    ['bigint', Number.POSITIVE_INFINITY],
    ['bigint', 2n ** 63n],
    ['bigint', -(2n ** 63n) - 1n],
    ['bigint', '9223372036854775808'],
    ['bigint', ''],
    ['bigint', '-'],
    ['bigint', '1e3'],
    ['bigint', ' 1'],
    ['bigint', '0x10'],
    ['bigint', {}],
    ['bigint', [1]],
    ['bigint', true],
    ['bigint', new Date(0)],
    ['text', 1],
    ['text', null],
    ['text', 1n],
    ['text', Buffer.from('a')],
    ['text', '\ud800'],
    ['uuid', 'no uuid'],
    ['uuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g'],
    ['uuid', 'a0eebc999-c0b-4ef8-bb6d-6bb9bd380a11'],
    ['uuid', null],
    ['uuid', 1],
  ])('a %s keyspace refuses %s', (keyType, key) => {
    for (const hash of ['postgres', 'murmur3'] as const) {
      expect(() => keyspace({ keyType, hash }).slotOf(key as ShardKey)).toThrow(
        expect.objectContaining({ code: 'KEY_INVALID' }),
      );
    }
  });

  test('the message names the kind of the key and never its value', () => {
    const slotOf = keyspace({ keyType: 'uuid' }).slotOf;
    expect(() => slotOf('anna@example.org')).toThrow(/^((?!anna).)*$/s);
  });

  test.each([0, 1, 3, 1000, 65537, 131072, 2.5])('%s slots are refused', (slots) => {
    expect(() => keyspace({ slots })).toThrow('power of two');
  });

  test('the expression names columns through the quoting module', () => {
    expect(slotExpression(keyspace(), { key: 'user_id' })).toBe(
      '((pg_catalog.hashint8extended("user_id", 0) >> 52) & 4095)',
    );
    expect(slotExpression(keyspace({ keyType: 'text' }), { key: 'a"b' }, 'NEW')).toBe(
      '((pg_catalog.hashtextextended(NEW."a""b" COLLATE pg_catalog."C", 0) >> 52) & 4095)',
    );
    expect(slotExpression(keyspace({ hash: 'murmur3' }), { key: 'id' }, { alias: 't' })).toBe(
      '"t"."shard_slot"',
    );
  });
});
