/** From the words of the command to its exit code: parses, runs, prints, and tells errors in the format asked for. */

import { ShardlineError } from '@shardline/core';
import { CommanderError } from 'commander';
import type { Answer } from './answer.js';
import { createMask, type Mask, maskData } from './config/mask.js';
import { cliErrors } from './errors.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import type { Host } from './host.js';
import type { Format } from './interaction.js';
import { describeError, errorText } from './output/describe-error.js';
import { createStyle, type Style, wantsColour } from './output/style.js';
import { toJson } from './output/to-json.js';
import { createProgram } from './program.js';
import type { Session } from './session.js';

/**
 * Runs the command with its words, without the name of the program.
 *
 * @returns the exit code; nothing is thrown.
 */
export async function run(words: readonly string[], host: Host): Promise<ExitCode> {
  let session: Session | undefined;
  let exitCode: ExitCode = EXIT.ok;
  const program = createProgram(host, {
    opened: (opened) => {
      session = opened;
    },
    answered: (answer, { style, format, mask }) => {
      exitCode = answer.exitCode ?? EXIT.ok;
      print(host, answer, format, style, mask);
    },
  });
  try {
    await program.parseAsync([...words], { from: 'user' });
    return exitCode;
  } catch (error) {
    // The help has been written already: asked for, or in the place of a verb.
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok;
    if (error instanceof CommanderError && error.code === 'commander.help') return EXIT.fault;
    return tell(host, words, session, error);
  } finally {
    session?.close();
  }
}

function print(host: Host, answer: Answer, format: Format, style: Style, mask: Mask): void {
  const { kind, data, next, exitCode = EXIT.ok, isUnmasked = false } = answer;
  if (format === 'text') {
    const text = answer.text(style).trimEnd();
    const body = isUnmasked ? text : mask(text);
    host.output.write(`${body}${body === '' ? '' : '\n'}${nextText(next, style)}`);
    return;
  }
  const document = {
    kind,
    ...(isUnmasked ? data : (maskData(data, mask) as object)),
    next,
    exitCode,
  };
  // A single document is looked at by people too; events are read line by line.
  host.output.write(`${toJson(document, format === 'json' ? 2 : undefined)}\n`);
}

function nextText(next: readonly string[], style: Style): string {
  if (next.length === 0) return '';
  const lines = next.map(
    (command, at) => `${at === 0 ? 'Next: ' : '      '}${style.bold(command)}`,
  );
  return `\n${lines.join('\n')}\n`;
}

function tell(
  host: Host,
  words: readonly string[],
  session: Session | undefined,
  thrown: unknown,
): ExitCode {
  const mask = session === undefined ? createMask() : (text: string) => session.mask(text);
  const error =
    thrown instanceof CommanderError ? usageError(thrown) : (session?.toldAs(thrown) ?? thrown);
  const document = maskData(describeError(error), mask) as ReturnType<typeof describeError>;
  if ((session?.format ?? formatOf(words, host.environment)) === 'text') {
    const style = session?.errorStyle ?? createStyle(wantsColour(host.errors, host.environment));
    host.errors.write(errorText(document, style));
  } else host.errors.write(`${toJson(document)}\n`);
  return document.exitCode;
}

function usageError(error: CommanderError): ShardlineError {
  const message = error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ');
  return new ShardlineError(
    cliErrors.CLI_USAGE,
    `${message.charAt(0).toUpperCase()}${message.slice(1)}`.replace(/([^.?!)])$/, '$1.'),
  );
}

/** The format that was asked for, even where the words cannot be understood. */
function formatOf(words: readonly string[], environment: Host['environment']): Format {
  if (words.includes('--json')) return 'json';
  if (words.includes('--ndjson')) return 'ndjson';
  const named = words[words.indexOf('--format') + 1];
  const wanted = words.includes('--format') ? named : environment['SHARDLINE_FORMAT'];
  return wanted === 'json' || wanted === 'ndjson' ? wanted : 'text';
}
