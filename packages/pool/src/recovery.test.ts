import { describe, expect, test } from 'vitest';
import { poolError } from './errors.js';
import { type Failure, recover } from './recovery.js';

const write: Failure = {
  error: undefined,
  isRead: false,
  onReplica: false,
  wasSent: true,
  isAtomic: true,
  failures: 1,
  replicas: 2,
};
const read: Failure = { ...write, isRead: true, onReplica: true };
const state = (code: string) => Object.assign(new Error(code), { code });
const lost = poolError('POOL_CONNECTION_LOST', 'Gone.');
const unknown = poolError('POOL_OUTCOME_UNKNOWN', 'Gone.');
const refused = poolError('POOL_DIAL_FAILED', 'Refused.');

describe('a write', () => {
  test('that was cut off, or failed in any way, is never sent again', () => {
    for (const error of [
      unknown,
      lost,
      state('40001'),
      state('57P01'),
      state('23505'),
      new Error('x'),
    ]) {
      expect(recover({ ...write, error })).toBe('give-up');
    }
  });

  test('for which no connection could be had goes elsewhere, a few times', () => {
    expect(recover({ ...write, error: refused, wasSent: false })).toBe('elsewhere');
    expect(recover({ ...write, error: refused, wasSent: false, failures: 6 })).toBe('give-up');
  });

  test('that a standby refused did not take place: it goes to the primary', () => {
    expect(recover({ ...write, error: state('25006'), onReplica: true })).toBe('primary');
    expect(recover({ ...write, error: state('25006') })).toBe('find-primary');
  });

  test('that was refused in a text with a COMMIT of its own may have taken place in part', () => {
    expect(recover({ ...write, error: state('25006'), isAtomic: false })).toBe('give-up');
  });
});

describe('a read', () => {
  test('goes to another server when its connection broke', () => {
    expect(recover({ ...read, error: lost })).toBe('elsewhere');
    expect(recover({ ...read, error: lost, failures: 6 })).toBe('give-up');
  });

  test('goes to another replica after a recovery conflict, and to the primary after many', () => {
    expect(recover({ ...read, error: state('40001') })).toBe('elsewhere');
    expect(recover({ ...read, error: state('40001'), failures: 6 })).toBe('primary');
    expect(recover({ ...read, error: state('40001'), onReplica: false })).toBe('give-up');
  });

  test('with a plain error is not tried again', () => {
    expect(recover({ ...read, error: state('42P01') })).toBe('give-up');
  });
});
