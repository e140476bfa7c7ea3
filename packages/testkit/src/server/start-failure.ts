import { isShardlineError, ShardlineError } from '@shardline/core';
import { testkitErrors } from '../errors.js';
import { noDisk } from './scratch.js';
import type { ServerSpec } from './server.js';
import { messageOf } from './wait-until.js';

/** As many lines as show a cause without burying it. */
const LOG_LINES = 25;

const PORT_TAKEN = /address already in use|EADDRINUSE|bind.*in use|Failed listening on port/i;
const DISK_FULL = /no space left on device|ENOSPC|disk quota exceeded/i;

/** What is known of a start that failed. */
export interface StartFailure {
  readonly spec: Pick<ServerSpec, 'name' | 'kind' | 'port'>;
  readonly folder: string;
  /** `ended with code 1`, `did not serve within 60s`. */
  readonly happened: string;
  readonly log: string;
  readonly cause?: unknown;
}

/** Reads a server's last words and names what they mean. Pure. */
export function startError(failure: StartFailure): ShardlineError {
  const { spec, folder, happened, log, cause } = failure;
  if (isShardlineError(cause) && !cause.code.startsWith('TESTKIT_WAIT')) return cause;
  const more = { details: { name: spec.name }, ...(cause === undefined ? {} : { cause }) };
  if (DISK_FULL.test(log)) return noDisk(folder, spec.name, lastLine(log, DISK_FULL), cause);
  if (PORT_TAKEN.test(log)) {
    return new ShardlineError(
      testkitErrors.TESTKIT_PORT_IN_USE,
      `Server ${spec.name} (${spec.kind}) could not listen on port ${spec.port}: ${lastLine(log, PORT_TAKEN)}.`,
      more,
    );
  }
  const last = cause === undefined ? '' : ` (${messageOf(rootOf(cause))})`;
  const tail = lastLines(log, LOG_LINES);
  const words = tail === '' ? 'It logged nothing.' : `The end of its log:\n${indent(tail)}\n`;
  return new ShardlineError(
    testkitErrors.TESTKIT_NOT_READY,
    `Server ${spec.name} (${spec.kind}, port ${spec.port}) ${happened}${last}. ${words}`,
    more,
  );
}

function rootOf(cause: unknown): unknown {
  return isShardlineError(cause) && cause.cause !== undefined ? cause.cause : cause;
}

function lastLine(log: string, pattern: RegExp): string {
  return (
    log
      .split('\n')
      .filter((line) => pattern.test(line))
      .at(-1)
      ?.trim() ?? ''
  );
}

/** The end of a text. */
export function lastLines(text: string, count: number): string {
  return text.trimEnd().split('\n').slice(-count).join('\n');
}

function indent(text: string): string {
  return text.replace(/^/gm, '  | ');
}
