/** An error as people and as programs are told of it (pure). */

import { isShardlineError, type ShardlineError } from '@shardline/core';
import { cliErrors } from '../errors.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import type { Style } from './style.js';

/** An error as a document. */
export interface ErrorDocument {
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
  readonly docs: string;
  readonly exitCode: ExitCode;
}

/** What is told of an error. */
export function describeError(error: unknown): ErrorDocument {
  return isShardlineError(error) ? describeKnown(error) : describeForeign(error);
}

function describeKnown(error: ShardlineError): ErrorDocument {
  const { code, documentation } = error;
  // Another copy of the package may be older and have no remedy apart from its message.
  const remedy = (error.remedy as string | undefined) ?? '';
  const ending = `[${code}: ${documentation}]`;
  const withoutPlace = error.message.endsWith(ending)
    ? error.message.slice(0, -ending.length).trimEnd()
    : error.message;
  const message =
    remedy !== '' && withoutPlace.endsWith(remedy)
      ? withoutPlace.slice(0, -remedy.length).trimEnd()
      : withoutPlace;
  const exitCode = code === 'CLI_INTERRUPTED' ? EXIT.interrupted : EXIT.fault;
  return { code, message, remedy, docs: documentation, exitCode };
}

/** Drivers and the system have codes of their own, which say more than ours would. */
function describeForeign(error: unknown): ErrorDocument {
  const { code, message, detail, hint } = (
    typeof error === 'object' && error !== null ? error : { message: error }
  ) as Partial<Record<'code' | 'message' | 'detail' | 'hint', unknown>>;
  const parts = [message, detail].filter((part) => typeof part === 'string' && part !== '');
  const aggregate = (error as { errors?: unknown }).errors;
  if (parts.length === 0 && Array.isArray(aggregate)) {
    parts.push(...aggregate.map((each: unknown) => String((each as Error).message ?? each)));
  }
  return {
    code: typeof code === 'string' ? code : cliErrors.CLI_UNEXPECTED.code,
    message: parts.length > 0 ? parts.join(' ') : String(error),
    remedy: typeof hint === 'string' ? hint : cliErrors.CLI_UNEXPECTED.remedy,
    docs: `https://github.com/shardline/shardline/blob/main/docs/errors/${cliErrors.CLI_UNEXPECTED.code}.md`,
    exitCode: EXIT.fault,
  };
}

/** An error for people: what happened, what to do, where to read on. */
export function errorText({ code, message, remedy, docs }: ErrorDocument, style: Style): string {
  return [
    `${style.red('Error')} ${style.bold(code)}: ${message}`,
    ...(remedy === '' ? [] : [`  ${remedy}`]),
    `  ${style.dim(docs)}`,
    '',
  ].join('\n');
}
