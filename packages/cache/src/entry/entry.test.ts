import { isShardlineError } from '@shardline/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeValue, encodeValue, jsonCodec, msgpackCodec } from './codec.js';
import { compress, decompress } from './compression.js';
import {
  decodeFrame,
  encodeFrame,
  encodeMarker,
  encodePrefix,
  FrameKind,
  heldPayload,
} from './frame.js';

const token = Buffer.alloc(16, 7);
const content = {
  kind: FrameKind.Value,
  codec: 1,
  compression: 0,
  storedAtMs: 1_700_000_000_000,
  ttlMs: 60_000,
  staleMs: 5000,
  loadMs: 12.5,
  rawBytes: 3,
  standing: { freshness: '0/1F', untilMs: 1_700_000_060_000 },
  stamps: [
    { name: 'n', value: 'abc' },
    { name: 't:vip', value: '1.2-xyz' },
  ],
  body: Buffer.from('abc'),
} as const;

describe('a frame', () => {
  it('comes back as it was written', () => {
    const frame = decodeFrame(encodeFrame(token, content));
    expect(frame).toMatchObject({ ...content, payload: FrameKind.Value });
  });

  it('of version 2 stays readable: its bytes are as they were agreed', () => {
    const agreed = Buffer.from(
      '534c020100000000070707070707070707070707070707070000000000000000' +
        '010000004278bcfe56800000' +
        '40ed4c000000000040b3880000000000402900000000000000000003' +
        '0000001e4278bcfe65260000' +
        '0004302f314600016e00036162630005743a7669700007312e322d78797a616263',
      'hex',
    );
    expect(encodeFrame(token, content).toString('hex')).toBe(agreed.toString('hex'));
    expect(decodeFrame(agreed)?.stamps).toEqual(content.stamps);
  });

  it('of another version is none', () => {
    const other = encodeFrame(token, content);
    other[2] = 1;
    expect(decodeFrame(other)).toBe(undefined);
    expect(heldPayload(other)).toBe(undefined);
  });

  it('keeps its payload when only its prefix is overwritten', () => {
    const frame = encodeFrame(token, content);
    encodePrefix(FrameKind.Lease, FrameKind.Value, Buffer.alloc(16, 9), 123).copy(frame);
    const leased = decodeFrame(frame);
    expect(leased).toMatchObject({ kind: FrameKind.Lease, payload: FrameKind.Value, untilMs: 123 });
    expect(leased?.body.toString()).toBe('abc');
  });

  it('of a marker carries no payload', () => {
    const marker = decodeFrame(
      encodeMarker(FrameKind.Tombstone, token, 0, { freshness: 'lsn', untilMs: 7 }),
    );
    expect(marker).toMatchObject({
      kind: FrameKind.Tombstone,
      payload: undefined,
      standing: { freshness: 'lsn', untilMs: 7 },
    });
  });

  it('is never read from bytes that are none: no byte string makes it throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        decodeFrame(Buffer.from(bytes));
      }),
    );
    const whole = encodeFrame(token, content);
    fc.assert(
      fc.property(
        fc.nat(whole.length - 1),
        fc.nat(255),
        fc.nat(whole.length),
        (at, byte, length) => {
          const hurt = Buffer.from(whole);
          hurt[at] = byte;
          decodeFrame(hurt.subarray(0, length));
        },
      ),
    );
  });
});

describe('a codec', () => {
  it('gives back what JSON can carry', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        // msgpackr renames this one key, which would otherwise change what an object inherits.
        fc.pre(!JSON.stringify(value).includes('__proto__'));
        for (const codec of [jsonCodec, msgpackCodec]) {
          const decoded = decodeValue(codec, codec.id, encodeValue(codec, value, 'x'));
          expect(JSON.stringify(decoded?.value)).toBe(JSON.stringify(value));
        }
      }),
    );
  });

  it('by MessagePack gives back dates, sets, bytes and big integers', () => {
    const value = {
      at: new Date(5),
      bytes: Buffer.from([1, 2]),
      set: new Set([1]),
      big: 2n ** 60n,
    };
    expect(decodeValue(msgpackCodec, 2, encodeValue(msgpackCodec, value, 'x'))?.value).toEqual(
      value,
    );
  });

  it('refuses what it cannot write, and says so', () => {
    const cyclic: Record<string, unknown> = {};
    cyclic['self'] = cyclic;
    for (const value of [cyclic, 1n, () => 1]) {
      try {
        encodeValue(jsonCodec, value, "namespace 'x'");
        expect.fail('it was written');
      } catch (error) {
        expect(isShardlineError(error, 'CACHE_VALUE_INVALID')).toBe(true);
      }
    }
  });

  it('takes corrupt bytes and unknown codecs for a miss', () => {
    expect(decodeValue(jsonCodec, 1, Buffer.from('{'))).toBe(undefined);
    expect(decodeValue(jsonCodec, 77, Buffer.from('1'))).toBe(undefined);
  });
});

describe('compression', () => {
  it('gives back what it packed, and leaves small or stubborn bodies alone', async () => {
    const large = Buffer.from('odds '.repeat(100_000));
    const packed = await compress(large, 'brotli', 2048);
    expect(packed.body.length).toBeLessThan(large.length / 100);
    expect(decompress(packed.body, packed.compression, large.length)?.equals(large)).toBe(true);
    expect((await compress(Buffer.from('small'), 'brotli', 2048)).compression).toBe(0);
  });

  it('never unpacks more than the frame declares', async () => {
    const bomb = await compress(Buffer.alloc(50_000_000), 'brotli', 1);
    expect(decompress(bomb.body, bomb.compression, 1000)).toBe(undefined);
    expect(decompress(Buffer.from('junk'), bomb.compression, 1000)).toBe(undefined);
    expect(decompress(bomb.body, 99, 50_000_000)).toBe(undefined);
  });
});
