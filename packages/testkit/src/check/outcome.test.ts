import { describe, expect, it } from 'vitest';
import { classifyCommit, classifyError } from './outcome.js';

const FAILED = ['SL001', '40001', '40P01', '25006', '23505', '23503', '42P01', '22001', '55P03'];
const UNKNOWN = ['08000', '08003', '08006', '57P01', '57P02', '57P03', '40003', 'XX000', '53100'];

/** An error as core makes it, known by its brand. */
function shardlineError(code: string, cause?: unknown): Error {
  const error = Object.assign(new Error(code, { cause }), { code });
  Object.defineProperty(error, Symbol.for('shardline.error'), { value: true });
  return error;
}

describe('what an error means', () => {
  it.each(FAILED)('SQLSTATE %s is a fail: the server refused and rolled back', (code) => {
    expect(classifyError({ code, severity: 'ERROR' })).toMatchObject({
      outcome: 'fail',
      sqlstate: code,
      error: code,
    });
  });

  it.each(UNKNOWN)('SQLSTATE %s is unknown', (code) => {
    expect(classifyError({ code, severity: 'FATAL' })).toMatchObject({
      outcome: 'info',
      sqlstate: code,
    });
  });

  it('takes a panic for unknown, whatever its code', () => {
    expect(classifyError({ code: '22001', severity: 'PANIC' }).outcome).toBe('info');
  });

  it.each(['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EBADF'])(
    '%s on an open socket is unknown',
    (code) => {
      expect(classifyError({ code, syscall: 'read' })).toMatchObject({
        outcome: 'info',
        sqlstate: undefined,
      });
    },
  );

  it('does not take EPIPE or another socket code for an SQLSTATE', () => {
    expect(classifyError({ code: 'EPIPE' }).sqlstate).toBeUndefined();
  });

  it.each([
    { code: 'ECONNREFUSED' },
    { code: 'ENOTFOUND', syscall: 'getaddrinfo' },
    { code: 'ETIMEDOUT', syscall: 'connect' },
    { code: 'EHOSTUNREACH', syscall: 'connect' },
  ])('a dial that failed ($code) is a fail', (error) => {
    expect(classifyError(error).outcome).toBe('fail');
  });

  it('is a fail when every address of a dial was refused, and unknown when one was not a dial', () => {
    const refused = { code: 'ECONNREFUSED', syscall: 'connect' };
    expect(classifyError(new AggregateError([refused, refused])).outcome).toBe('fail');
    const reset = { code: 'ECONNRESET', syscall: 'read' };
    expect(classifyError(new AggregateError([refused, reset])).outcome).toBe('info');
  });

  it('lets one doubt in the chain of causes outweigh all proof', () => {
    const lost = Object.assign(new Error('lost'), { code: '08006' });
    expect(
      classifyError(Object.assign(new Error('x', { cause: lost }), { code: '23505' })),
    ).toMatchObject({ outcome: 'info' });
  });

  it('finds proof under a wrapper that says nothing', () => {
    const wrapped = new Error('insert failed', { cause: { code: '23505', severity: 'ERROR' } });
    expect(classifyError(wrapped)).toMatchObject({
      outcome: 'fail',
      sqlstate: '23505',
      error: 'Error',
    });
  });

  it('takes what nothing is known of for unknown', () => {
    for (const thrown of [
      undefined,
      null,
      'text',
      7,
      {},
      new Error('Connection terminated'),
      Symbol('x'),
    ]) {
      expect(classifyError(thrown).outcome).toBe('info');
    }
  });

  it('takes anything for a fail once the caller knows that nothing was sent', () => {
    expect(classifyError({ code: 'ECONNRESET' }, { sent: false }).outcome).toBe('fail');
    expect(classifyError(undefined, { sent: false }).outcome).toBe('fail');
  });

  it('takes a deadline or an abort for unknown, even above a refused dial', () => {
    const refused = { code: 'ECONNREFUSED' };
    expect(classifyError(shardlineError('DEADLINE_EXCEEDED', refused)).outcome).toBe('info');
    expect(classifyError(shardlineError('ABORTED', refused)).outcome).toBe('info');
    expect(classifyError(new DOMException('no', 'AbortError')).outcome).toBe('info');
    expect(classifyError(new DOMException('no', 'TimeoutError')).outcome).toBe('info');
    expect(classifyError(shardlineError('WRITE_OUTCOME_UNKNOWN', refused)).outcome).toBe('info');
  });

  it('takes a Shardline refusal at the door for a fail, and the same code of a stranger not', () => {
    const old = { code: 'ECONNRESET' };
    expect(classifyError(shardlineError('CIRCUIT_OPEN', old)).outcome).toBe('fail');
    expect(classifyError(shardlineError('QUEUE_FULL')).outcome).toBe('fail');
    expect(classifyError({ code: 'QUEUE_FULL' }).outcome).toBe('info');
  });

  it('follows the codes that the caller names', () => {
    const refused = shardlineError('POOL_ACQUIRE_TIMEOUT');
    expect(classifyError(refused).outcome).toBe('info');
    expect(classifyError(refused, { refusedCodes: ['POOL_ACQUIRE_TIMEOUT'] }).outcome).toBe('fail');
    const both = { refusedCodes: ['QUEUE_FULL'], unknownCodes: ['QUEUE_FULL'] };
    expect(classifyError(shardlineError('QUEUE_FULL'), both).outcome).toBe('info');
    const wrapped = new Error('x', { cause: { code: 'HALF_DONE' } });
    expect(classifyError(wrapped, { unknownCodes: ['HALF_DONE'] }).reason).toContain('HALF_DONE');
  });

  it('takes a Redis refusal for a fail, and an error out of a script for unknown', () => {
    const refusal = { name: 'ReplyError', message: "READONLY You can't write against a replica." };
    expect(classifyError(refusal).outcome).toBe('fail');
    const message = 'READONLY write against a replica script: abc, on @user_script:7.';
    expect(classifyError({ name: 'ReplyError', message }).outcome).toBe('info');
    expect(classifyError({ name: 'ReplyError', message: 'ERR something' }).outcome).toBe('info');
  });

  it('takes an abort for unknown by its name alone, above a refused dial', () => {
    for (const name of ['AbortError', 'TimeoutError']) {
      const error = Object.assign(new Error('x', { cause: { code: 'ECONNREFUSED' } }), { name });
      expect(classifyError(error)).toMatchObject({
        outcome: 'info',
        reason: `${name}: ended before the answer`,
        error: name,
      });
    }
    expect(classifyError({ code: 'LOST_IT', name: 'Odd' }).reason).toBe(
      'LOST_IT: ended before the answer',
    );
  });

  it('does not trip over fields of odd types', () => {
    const odd = { code: 23505, name: 7, message: [], syscall: 8, errors: 'none' };
    expect(classifyError(odd)).toMatchObject({
      outcome: 'info',
      sqlstate: undefined,
      error: 'unnamed error',
    });
    expect(classifyError({ name: 'ReplyError', message: undefined }).outcome).toBe('info');
    expect(classifyError({ syscall: 'connect' }).outcome).toBe('info');
    expect(classifyError({ code: 'EIO', syscall: 'write' }).outcome).toBe('info');
    expect(classifyError({ code: 'EIO', syscall: ['connect'] }).outcome).toBe('info');
    expect(classifyError({ code: '', name: 'Named' }).error).toBe('Named');
    expect(classifyError({ code: '', name: '' }).error).toBe('unnamed error');
    expect(classifyError('text').error).toBe('text');
  });

  it('gives up on a chain of causes without an end', () => {
    let error: unknown = { code: '23505' };
    for (let depth = 0; depth < 14; depth += 1) error = { cause: error };
    expect(classifyError(error).outcome).toBe('fail');
    for (let depth = 0; depth < 5; depth += 1) error = { cause: error };
    expect(classifyError(error).outcome).toBe('info');
  });

  it('survives a cause that is its own cause', () => {
    const error: { code: string; cause?: unknown } = { code: '40001' };
    error.cause = error;
    expect(classifyError(error).outcome).toBe('fail');
  });
});

describe('what the answer to COMMIT means', () => {
  it('is unknown if only one of several notices is that warning', () => {
    const notices = [
      { message: 'hello' },
      { message: undefined },
      { message: 'canceling wait for synchronous replication due to user request' },
    ];
    expect(classifyCommit({ command: 'COMMIT', notices })).toBe('info');
    expect(classifyCommit({ command: 'COMMIT' })).toBe('ok');
  });

  it('is ok when it says COMMIT', () => {
    expect(classifyCommit({ command: 'COMMIT', notices: [{ message: 'hello' }] })).toBe('ok');
  });

  it('is a fail when it says ROLLBACK', () => {
    expect(classifyCommit({ command: 'ROLLBACK' })).toBe('fail');
  });

  it('is unknown when it says something else', () => {
    expect(classifyCommit({ command: '' })).toBe('info');
  });

  it.each([
    'canceling wait for synchronous replication due to user request',
    'canceling the wait for synchronous replication and terminating connection due to administrator command',
  ])('is unknown after the warning «%s»', (message) => {
    expect(classifyCommit({ command: 'COMMIT', notices: [{ message }] })).toBe('info');
  });
});
