import { describe, expect, it } from 'vitest';
import { parseEntries, type StreamEntry, StreamPosition } from './stream-reader.js';

const entry = (number: number): StreamEntry => ({
  id: `${number}-0`,
  number,
  origin: 'o',
  message: '[]',
});

describe('a position in the stream', () => {
  it('follows numbers without gaps', () => {
    const position = new StreamPosition();
    position.anchor('4-0', 4);
    expect(position.advance([entry(5), entry(6)])).toMatchObject({ gap: false });
    expect(position.id).toBe('6-0');
    expect(position.compare(6, false)).toBe('heard-out');
  });

  it('finds a message missing, come twice, or from before a reset', () => {
    for (const wrong of [7, 4, 1]) {
      const position = new StreamPosition();
      position.anchor('4-0', 4);
      expect(position.advance([entry(5), entry(wrong)])).toMatchObject({ gap: true });
    }
  });

  it('takes a counter that is ahead for news at first, then for a gap; one behind for a gap at once', () => {
    const position = new StreamPosition();
    position.anchor('4-0', 4);
    expect(position.compare(5, false)).toBe('look-again');
    expect(position.compare(5, true)).toBe('gap');
    expect(position.compare(3, false)).toBe('gap');
  });

  it('reads what Redis answers, and refuses what is not ours', () => {
    const reply = [['s', [['1-0', ['n', '1', 'o', 'me', 'm', '[]']]]]];
    expect(parseEntries(reply)).toEqual([{ id: '1-0', number: 1, origin: 'me', message: '[]' }]);
    expect(parseEntries(null)).toEqual([]);
    expect(parseEntries([['s', [['1-0', ['x', 'y']]]]])).toBe(undefined);
  });
});
