import { describe, expect, test } from 'vitest';
import { OwnUpdates } from './own-updates.js';

describe('updates of one process that are under way', () => {
  test('a chain of replacements is followed from what was seen to what stands there', () => {
    const updates = new OwnUpdates();
    updates.begin('k');
    updates.replaced('k', 'S', { identity: 'A', value: 1 });
    updates.replaced('k', 'elsewhere', { identity: 'X', value: 9 });
    updates.replaced('k', 'A', { identity: 'B', value: 2 });
    expect(updates.inPlaceOf('k', 'S')).toMatchObject({ identity: 'B', value: 2 });
    expect(updates.inPlaceOf('k', 'A')).toMatchObject({ identity: 'B' });
    expect(updates.inPlaceOf('k', 'B')).toBe(undefined);
    expect(updates.inPlaceOf('other', 'S')).toBe(undefined);
  });

  test('what ended before the oldest began is forgotten, however long a key is never quiet', () => {
    const updates = new OwnUpdates();
    let before = updates.begin('k');
    for (let at = 0; at < 1000; at += 1) {
      const next = updates.begin('k');
      updates.replaced('k', `${at}`, { identity: `${at + 1}`, value: at });
      updates.end(before);
      before = next;
    }
    // Those that the last one has to know of, and not the thousand before.
    expect(updates.inPlaceOf('k', '0')).toBe(undefined);
    expect(updates.inPlaceOf('k', '999')).toMatchObject({ identity: '1000' });
    updates.end(before);
    expect(updates.inPlaceOf('k', '999')).toBe(undefined);
  });
});
