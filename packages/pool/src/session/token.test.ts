import { isShardlineError, type SigningKey } from '@shardline/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openToken, sealToken, type TokenContents, type TokenReader } from './token.js';

const key: SigningKey = { id: '2026-11', secret: 'a'.repeat(32) };
const olderKey: SigningKey = { id: '2026-10', secret: 'b'.repeat(32) };

const contents: TokenContents = {
  systemIdentifier: '7441234567890123456',
  floor: { position: { timeline: 3, lsn: 0x16_b374_d848n }, snapshotXmax: undefined },
  expiresAtMs: 1_800_000_000_000,
};

function reader(over: Partial<TokenReader> = {}): TokenReader {
  return {
    keys: [key],
    systemIdentifier: contents.systemIdentifier,
    newestPosition: { timeline: 3, lsn: 0x16_b374_d848n },
    newestSnapshotXmax: 2n ** 40n,
    nowMs: 1_700_000_000_000,
    ...over,
  };
}

function codeOfThrown(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (isShardlineError(error)) return error.code;
    throw error;
  }
  return 'nothing was thrown';
}

describe('a session token', () => {
  test('comes back as it was, whatever it holds', () => {
    const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    const anyContents = fc.record({
      systemIdentifier: u64.map(String),
      floor: fc.record({
        position: fc.option(
          fc.record({ timeline: fc.integer({ min: 1, max: 2 ** 32 - 1 }), lsn: u64 }),
          { nil: undefined },
        ),
        snapshotXmax: fc.option(u64, { nil: undefined }),
      }),
      expiresAtMs: fc.integer({ min: 1_700_000_000_001, max: 2 ** 48 - 1 }),
    });
    fc.assert(
      fc.property(anyContents, (any) => {
        const text = sealToken(any, [key]);
        expect(text).toMatch(/^[A-Za-z0-9_-]+$/);
        const opened = openToken(text, reader({ systemIdentifier: any.systemIdentifier }));
        expect(opened).toEqual({ is: 'valid', contents: any });
      }),
    );
  });

  test('is short enough for a cookie', () => {
    const floor = { ...contents.floor, snapshotXmax: 2n ** 40n };
    expect(sealToken({ ...contents, floor }, [key]).length).toBeLessThan(120);
  });

  test('of an older key is read after a rotation, and written with the first key', () => {
    const old = sealToken(contents, [olderKey]);
    expect(openToken(old, reader({ keys: [key, olderKey] })).is).toBe('valid');
    expect(codeOfThrown(() => openToken(old, reader()))).toBe('POOL_TOKEN_FORGED');
  });

  test('with any bit changed is refused', () => {
    const bytes = Buffer.from(sealToken(contents, [key]), 'base64url');
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const changed = Buffer.from(bytes);
      changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
      const code = codeOfThrown(() => openToken(changed.toString('base64url'), reader()));
      expect(['POOL_TOKEN_FORGED', 'POOL_TOKEN_MALFORMED'], `bit ${bit}`).toContain(code);
    }
  });

  test('without a signature is refused by who has keys', () => {
    expect(codeOfThrown(() => openToken(sealToken(contents, []), reader()))).toBe(
      'POOL_TOKEN_FORGED',
    );
  });

  test('of another cluster is refused', () => {
    const text = sealToken(contents, [key]);
    expect(codeOfThrown(() => openToken(text, reader({ systemIdentifier: '1' })))).toBe(
      'POOL_TOKEN_FOREIGN',
    );
  });

  test('that is expired is a claim only', () => {
    const text = sealToken(contents, [key]);
    expect(openToken(text, reader({ nowMs: contents.expiresAtMs })).is).toBe('expired');
  });

  test('without keys and beyond what is known is a claim only', () => {
    const text = sealToken(contents, []);
    const known = (lsn: bigint) => reader({ keys: [], newestPosition: { timeline: 3, lsn } });
    expect(openToken(text, known(0x16_b374_d848n)).is).toBe('valid');
    expect(openToken(text, known(0x16_b374_d847n)).is).toBe('beyond-known');
    expect(openToken(text, reader({ keys: [], newestPosition: undefined })).is).toBe(
      'beyond-known',
    );
  });

  test('without keys and of a snapshot or an address beyond what is known is a claim only', () => {
    const within = (floor: TokenContents['floor'], over: Partial<TokenReader> = {}) =>
      openToken(sealToken({ ...contents, floor }, []), reader({ keys: [], ...over })).is;
    const { position } = contents.floor;
    expect(within({ position, snapshotXmax: 2n ** 40n })).toBe('valid');
    expect(within({ position, snapshotXmax: 2n ** 40n + 1n })).toBe('beyond-known');
    expect(within({ position, snapshotXmax: 1n }, { newestSnapshotXmax: undefined })).toBe(
      'beyond-known',
    );
    // No server will ever reach an address that an older timeline never had.
    const older = { timeline: 2, lsn: 2n ** 63n };
    expect(within({ position: older, snapshotXmax: undefined })).toBe('beyond-known');
  });

  test('of an earlier release is read', () => {
    const floor = { ...contents.floor, snapshotXmax: 2n ** 40n };
    const signed =
      'AQFnRJNqBXK6wAAAAAMAAAAWs3TYSAGjGFxQAAAAAQAAAAAABzIwMjYtMTF6cqE5GVqWWK0Sh-dfwX9kXWf2S1dU2WEyfUMrX2qyiQ';
    const unsigned = 'AQFnRJNqBXK6wAAAAAMAAAAWs3TYSAGjGFxQAAAAAQAAAAAAAA';
    const expected = { is: 'valid', contents: { ...contents, floor } };
    expect(openToken(signed, reader())).toEqual(expected);
    expect(openToken(unsigned, reader({ keys: [] }))).toEqual(expected);
  });

  test('of any other text is a typed error and nothing else', () => {
    const anyText = fc.oneof(
      fc.string(),
      fc.base64String(),
      fc.string({ minLength: 300, maxLength: 400 }),
    );
    fc.assert(
      fc.property(anyText, fc.boolean(), (text, hasKeys) => {
        const code = codeOfThrown(() => openToken(text, reader(hasKeys ? {} : { keys: [] })));
        expect(code).toMatch(/^POOL_TOKEN_/);
      }),
    );
    for (const odd of [undefined, null, 7, {}]) {
      expect(codeOfThrown(() => openToken(odd as unknown as string, reader()))).toBe(
        'POOL_TOKEN_MALFORMED',
      );
    }
  });
});
