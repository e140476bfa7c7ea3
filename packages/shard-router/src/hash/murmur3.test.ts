import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { murmur3x64, murmur3x86 } from './murmur3.js';

const hex = (value: number) => (value >>> 0).toString(16).padStart(8, '0');
const halves = (hash: Uint32Array) => [0, 2].map((at) => hex(hash[at]!) + hex(hash[at + 1]!));

/** spaolacci/murmur3, murmur_test.go. */
const published: [number, string, string, string, string][] = [
  [0, '', '00000000', '0000000000000000', '0000000000000000'],
  [0, 'hello', '248bfa47', 'cbd8a7b341bd9b02', '5b1e906a48ae1d19'],
  [0, 'hello, world', '149bbb7f', '342fac623a5ebc8e', '4cdcbc079642414d'],
  [
    0,
    'The quick brown fox jumps over the lazy dog.',
    'd5c48bfc',
    'cd99481f9ee902c9',
    '695da1a38987b6e7',
  ],
];

describe('murmur3', () => {
  test.each(published)(
    'seed %i of %j is the published vector',
    (seed, text, x86, first, second) => {
      expect(hex(murmur3x86(text, seed))).toBe(x86);
      expect(hex(murmur3x86(Buffer.from(text), seed))).toBe(x86);
      expect(halves(murmur3x64(text, seed))).toEqual([first, second]);
      expect(halves(murmur3x64(Buffer.from(text), seed))).toEqual([first, second]);
    },
  );

  test.each([
    [1, '', '514e28b7'],
    [1, 'hello', 'bb4abcad'],
    [42, 'hello', 'e2dbd2e1'],
  ])('seed %i of %j is the published vector of 32 bits', (seed, text, x86) => {
    expect(hex(murmur3x86(text, seed))).toBe(x86);
  });

  test('texts beyond ASCII hash as UTF-8', () => {
    expect(murmur3x86('My 🚀 is full of 🦎.')).toBe(1818098979);
    expect(murmur3x86('吉 星 高 照')).toBe(3435142074);
  });

  test('the verification codes of SMHasher come out', () => {
    expect(smhasherCode(4, (bytes, seed) => words(murmur3x86(bytes, seed)))).toBe(0xb0f57ee3);
    expect(
      smhasherCode(16, (bytes, seed) => {
        const hash = murmur3x64(bytes, seed);
        // The reference stores each 64-bit half little-endian: low word first.
        return words(hash[1]!, hash[0]!, hash[3]!, hash[2]!);
      }),
    ).toBe(0x6384ba69);
  });

  test('a text and its UTF-8 bytes have one hash', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), fc.nat(), (text, seed) => {
        const bytes = Buffer.from(text);
        expect(murmur3x86(text, seed)).toBe(murmur3x86(bytes, seed));
        expect([...murmur3x64(text, seed)]).toEqual([...murmur3x64(bytes, seed)]);
      }),
      { numRuns: 2000 },
    );
  });

  test('half a surrogate pair is refused, since it has no UTF-8', () => {
    expect(() => murmur3x86('a\ud800')).toThrow(expect.objectContaining({ code: 'KEY_INVALID' }));
  });

  test('murmurhash3js agrees on ASCII and is wrong beyond it, which is why it is not used', () => {
    const peer = createRequire(import.meta.url)('murmurhash3js');
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii', maxLength: 40 }), (text) => {
        expect(murmur3x86(text)).toBe(peer.x86.hash32(text));
      }),
    );
    expect(murmur3x86('吉 星 高 照')).not.toBe(peer.x86.hash32('吉 星 高 照'));
  });
});

function words(...values: number[]): Uint8Array {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [at, value] of values.entries()) bytes.writeUInt32LE(value >>> 0, at * 4);
  return bytes;
}

/** SMHasher's VerificationTest: hashes of keys {0}, {0,1} … with seeds 256, 255 …, hashed again. */
function smhasherCode(size: number, hash: (bytes: Uint8Array, seed: number) => Uint8Array): number {
  const all = Buffer.alloc(size * 256);
  for (let length = 0; length < 256; length += 1) {
    const key = Uint8Array.from({ length }, (_, at) => at);
    all.set(hash(key, 256 - length), length * size);
  }
  return Buffer.from(hash(all, 0)).readUInt32LE(0);
}
