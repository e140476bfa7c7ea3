import { tmpdir } from 'node:os';
import { isShardlineError } from '@shardline/core';
import { describe, expect, test } from 'vitest';
import { expectRoom } from './scratch.js';
import { lastLines, startError } from './start-failure.js';

const spec = { name: 'users', kind: 'postgres', port: 15_123 } as const;

function errorFor(log: string) {
  return startError({ spec, folder: '/tmp/x', happened: 'ended before it served', log });
}

describe('what a failed start is called', () => {
  test('a port that is taken, in the words of each program', () => {
    for (const log of [
      'LOG:  could not bind IPv4 address "127.0.0.1": Address already in use',
      'Could not create server TCP listening socket 127.0.0.1:1: bind: Address already in use',
      'failed to listen on TCP port 15123: Address already in use',
    ]) {
      expect(errorFor(log).code).toBe('TESTKIT_PORT_IN_USE');
    }
  });

  test('a disk that is full, with the folder that is on it', () => {
    const error = errorFor('PANIC:  could not write to file "pg_wal/x": No space left on device');
    expect(error.code).toBe('TESTKIT_NO_DISK');
    expect(error.message).toContain('/tmp/x');
  });

  test('anything else: not ready, with the end of the log', () => {
    const log = Array.from({ length: 100 }, (_, index) => `line ${index}`).join('\n');
    const error = errorFor(log);
    expect(error.code).toBe('TESTKIT_NOT_READY');
    expect(error.message).toContain('Server users (postgres, port 15123) ended before it served.');
    expect(error.message).toContain('| line 99');
    expect(error.message).not.toContain('| line 50\n');
    expect(errorFor('').message).toContain('It logged nothing.');
  });

  test('the end of a text is its last lines', () => {
    expect(lastLines('a\nb\nc\n', 2)).toBe('b\nc');
    expect(lastLines('', 2)).toBe('');
  });
});

describe('room on the disk', () => {
  test('too little is refused before anything is written', async () => {
    await expect(expectRoom(tmpdir(), 'users', 2 ** 60)).rejects.toSatisfy(
      (error) =>
        isShardlineError(error, 'TESTKIT_NO_DISK') &&
        error.message.includes('no room for users') &&
        error.message.includes('TMPDIR'),
    );
    await expect(expectRoom(tmpdir(), 'users', 1)).resolves.toBeUndefined();
  });
});
