import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  MAX_SHARDS,
  MAX_TEXT,
  MAX_TOKEN_ROWS,
  openToken,
  sealToken,
  type TokenContents,
} from './session-token.js';

const keys = [{ id: 'now', secret: 'only-for-tests-0123456789-abcdef' }];
const older = { id: 'before', secret: 'only-for-tests-before-0123456789' };

const hash = fc
  .uint8Array({ minLength: 8, maxLength: 8 })
  .map((bytes) => Buffer.from(bytes).toString('hex'));
const point = fc.record({
  timeline: fc.integer({ min: 1, max: 0xffff_ffff }),
  lsn: fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }),
});
const shard = fc.record({
  shard: hash,
  systemIdentifier: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String),
  position: fc.option(point, { nil: undefined }),
  snapshotXmax: fc.option(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), { nil: undefined }),
});
const contents: fc.Arbitrary<TokenContents> = fc
  .uniqueArray(shard, { maxLength: MAX_SHARDS, selector: (one) => one.shard })
  .chain((shards) =>
    fc.record({
      issuer: hash,
      epoch: fc.nat(),
      expiresAtMs: fc.nat(),
      shards: fc.constant(shards),
      hasMoreShards: fc.boolean(),
      rows:
        shards.length === 0
          ? fc.constant([])
          : fc.array(
              fc.record({
                shard: fc.constantFrom(...shards.map((one) => one.shard)),
                row: hash,
                from: fc.option(point, { nil: undefined }),
                to: point,
              }),
              { maxLength: MAX_TOKEN_ROWS },
            ),
    }),
  );

const full: TokenContents = {
  issuer: 'ab'.repeat(8),
  epoch: 7,
  expiresAtMs: 1_900_000_000_000,
  hasMoreShards: false,
  shards: Array.from({ length: MAX_SHARDS + 3 }, (_, at) => ({
    shard: String(at).padStart(16, '0'),
    systemIdentifier: '18446744073709551615',
    position: { timeline: 3, lsn: 0xffff_ffff_ffff_ffffn },
    snapshotXmax: 2n ** 63n,
  })),
  rows: Array.from({ length: MAX_TOKEN_ROWS + 20 }, (_, at) => ({
    shard: '0000000000000000',
    row: String(at).padStart(16, '0'),
    from: { timeline: 3, lsn: BigInt(at) },
    to: { timeline: 3, lsn: BigInt(at + 1) },
  })),
};

describe('a token', () => {
  test('gives back what went in, signed or not', () => {
    fc.assert(
      fc.property(contents, fc.boolean(), (given, isSigned) => {
        const used = isSigned ? keys : [];
        expect(openToken(sealToken(given, used), used)).toEqual(given);
      }),
    );
  });

  test('is bounded, keeps the most important shards and the last rows, and says that some are missing', () => {
    const text = sealToken(full, keys);
    expect(text.length).toBeLessThanOrEqual(MAX_TEXT);
    const opened = openToken(text, keys);
    expect(opened.hasMoreShards).toBe(true);
    expect(opened.shards).toEqual(full.shards.slice(0, MAX_SHARDS));
    expect(opened.rows).toEqual(full.rows.slice(-MAX_TOKEN_ROWS));
  });

  test('that was changed in any bit is refused', () => {
    const bytes = Buffer.from(sealToken(full, keys), 'base64url');
    fc.assert(
      fc.property(fc.nat(bytes.length * 8 - 1), (bit) => {
        const forged = Buffer.from(bytes);
        forged.writeUInt8(forged.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        expect(() => openToken(forged.toString('base64url'), keys)).toThrow(/LAYER_TOKEN_/);
      }),
    );
  });

  test('is believed if an older key signed it, and not if an unknown one did', () => {
    const text = sealToken(full, [older]);
    expect(openToken(text, [...keys, older]).epoch).toBe(7);
    expect(() => openToken(text, keys)).toThrow('LAYER_TOKEN_FORGED');
  });

  test('without a signature is refused by those who have keys', () => {
    expect(() => openToken(sealToken(full, []), keys)).toThrow('LAYER_TOKEN_FORGED');
  });

  test('of an earlier release is read', () => {
    const text =
      'AQCrq6urq6urqwAAAAAABwG6YNM4AAEAAAAAAAAAAWdEk2oFcrrAAAAAAwAAAAAAAABNAAEAAAAAAAAAAP8AAAADAAAAAAAAAE4AA25vd-oUE7zsCK7QrCtu15fifsXG1hxbqx91BoqdnlWh_QcB';
    expect(openToken(text, keys)).toMatchObject({
      issuer: 'ab'.repeat(8),
      shards: [{ position: { timeline: 3, lsn: 77n } }],
      rows: [{ row: '00000000000000ff', to: { timeline: 3, lsn: 78n } }],
    });
  });

  test('of any other text is malformed, and nothing else goes wrong', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc
            .uint8Array({ maxLength: 200 })
            .map((bytes) => Buffer.from(bytes).toString('base64url')),
        ),
        (text) => {
          expect(() => openToken(text, keys)).toThrow(/LAYER_TOKEN_/);
        },
      ),
    );
    expect(() => openToken('A'.repeat(MAX_TEXT + 1), keys)).toThrow('LAYER_TOKEN_MALFORMED');
  });
});
