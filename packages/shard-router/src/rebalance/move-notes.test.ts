import { describe, expect, test } from 'vitest';
import { noteStatement, requestStatement } from './move-notes.js';

describe('what is told of a move and asked of it', () => {
  test('writes what is given, takes off what is null, and leaves the rest', () => {
    expect(noteStatement('m1', 'token', { waitingFor: null, pauseMs: 40 })).toEqual({
      text: 'UPDATE shardline.move SET waiting_for = $3, pause_ms = $4 WHERE id = $1 AND holder = $2',
      values: ['m1', 'token', null, 40],
    });
    expect(requestStatement('m1', { wish: null, isPaused: true })).toEqual({
      text: 'UPDATE shardline.move SET is_paused = $2, wish = $3 WHERE id = $1',
      values: ['m1', true, null],
    });
  });

  test('tells times by the clock of the database', () => {
    const statement = noteStatement('m1', 'token', { isVerified: true, rollbackMs: 5 });
    expect(statement?.text).toContain('verified_at = clock_timestamp()');
    expect(statement?.text).toContain('rollback_until = clock_timestamp() + $3::float8');
    expect(statement?.values).toEqual(['m1', 'token', 5]);
  });

  test('is no statement where there is nothing to write', () => {
    expect(noteStatement('m1', 'token', {})).toBeUndefined();
    expect(requestStatement('m1', {})).toBeUndefined();
  });
});
