/**
 * Values in L1 are handed out by reference, so they are frozen once, when they enter, all the way down:
 * a caller that changed one would change it for everyone. The same walk estimates the memory they
 * take; asking JSON for it would cost more than the load that it protects. What `Object.freeze` cannot
 * stop (`map.set`, bytes of a buffer) is left to the namespace's `clone` option.
 */

const OBJECT_BYTES = 32;
const SLOT_BYTES = 8;

/** Freezes a value with all that it holds and returns the bytes that it roughly takes. */
export function freezeAndMeasure(root: unknown): number {
  if (typeof root !== 'object' || root === null) return bytesOf(root);
  let bytes = 0;
  // A set yields what is added while it is walked: each object once, cycles included.
  const objects = new Set<object>([root]);
  for (const object of objects) {
    bytes += bytesOf(object);
    for (const child of childrenOf(object)) {
      bytes += SLOT_BYTES;
      if (typeof child === 'object' && child !== null) objects.add(child);
      else bytes += bytesOf(child);
    }
    if (!ArrayBuffer.isView(object)) Object.freeze(object);
  }
  return bytes;
}

function bytesOf(value: unknown): number {
  if (typeof value === 'string') return 16 + value.length;
  if (typeof value !== 'object' || value === null) return 8;
  return ArrayBuffer.isView(value) ? OBJECT_BYTES + value.byteLength : OBJECT_BYTES;
}

function childrenOf(object: object): Iterable<unknown> {
  if (Array.isArray(object) || object instanceof Set) return object;
  if (object instanceof Map) return [...object.keys(), ...object.values()];
  return ArrayBuffer.isView(object) ? [] : Object.values(object);
}
