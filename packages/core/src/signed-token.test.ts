import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readTokenText, type SigningKey, sealPayload, signatureFault } from './signed-token.js';

const key: SigningKey = { id: 'k1', secret: 's'.repeat(32) };
const older: SigningKey = { id: 'k0', secret: Buffer.alloc(32, 7) };
const payload = Buffer.from('what is said');

/** Bytes of a token, or the fault of its text. */
function bytesOf(text: string): Buffer {
  const bytes = readTokenText(text, 500);
  if (!Buffer.isBuffer(bytes)) throw new Error(bytes.why);
  return bytes;
}

function faultOf(text: string, keys: readonly SigningKey[], purpose?: string) {
  const signing = purpose === undefined ? { keys } : { keys, purpose };
  return signatureFault(bytesOf(text), payload.length, signing);
}

describe('a signed token', () => {
  test('of any payload and key verifies, and begins with its payload', () => {
    const anyKey = fc.record({
      id: fc.string({ maxLength: 8 }),
      secret: fc.uint8Array({ minLength: 32, maxLength: 64 }),
    });
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 100 }),
        fc.array(anyKey, { maxLength: 3 }),
        (said, keys) => {
          const bytes = bytesOf(sealPayload(said, { keys }));
          expect(bytes.subarray(0, said.length)).toEqual(Buffer.from(said));
          expect(signatureFault(bytes, said.length, { keys })).toBeUndefined();
        },
      ),
    );
  });

  test('is written with the first key and read with any', () => {
    const old = sealPayload(payload, { keys: [older] });
    expect(faultOf(old, [key, older])).toBeUndefined();
    expect(faultOf(old, [key])).toEqual({
      is: 'forged',
      why: "it names an unknown signing key ('k0')",
    });
  });

  test('with any bit changed is refused', () => {
    const bytes = bytesOf(sealPayload(payload, { keys: [key] }));
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(signatureFault(changed, payload.length, { keys: [key] }), `bit ${bit}`).toBeDefined();
    }
  });

  test('with its end cut off anywhere is refused, and nothing is thrown', () => {
    const bytes = bytesOf(sealPayload(payload, { keys: [key] }));
    for (let length = 0; length < bytes.length; length += 1) {
      const cut = bytes.subarray(0, length);
      expect(signatureFault(cut, payload.length, { keys: [key] }), `${length}`).toBeDefined();
    }
  });

  test('of one purpose does not pass for one of another, nor for one of none', () => {
    const signed = sealPayload(payload, { keys: [key], purpose: 'cookies' });
    expect(faultOf(signed, [key], 'cookies')).toBeUndefined();
    expect(faultOf(signed, [key], 'links')?.is).toBe('forged');
    expect(faultOf(signed, [key])?.is).toBe('forged');
  });

  test('is read by whoever has no keys, who takes unsigned ones too', () => {
    expect(faultOf(sealPayload(payload, { keys: [key] }), [])).toBeUndefined();
    expect(faultOf(sealPayload(payload, { keys: [] }), [])).toBeUndefined();
    expect(faultOf(sealPayload(payload, { keys: [] }), [key])?.is).toBe('forged');
    const bytes = Buffer.concat([bytesOf(sealPayload(payload, { keys: [] })), Buffer.of(1)]);
    expect(signatureFault(bytes, payload.length, { keys: [] })?.is).toBe('malformed');
  });

  test('has one text and no other', () => {
    const text = sealPayload(payload, { keys: [] });
    for (const odd of ['', 'a b', `${text}=`, 'AB', 'A'.repeat(501), undefined, null, 7, {}]) {
      const read = readTokenText(odd as string, 500);
      expect(read, String(odd)).toMatchObject({ is: 'malformed' });
    }
  });
});
