/** Ties verbs to commander: a verb is given a session and its parameters, and returns an answer. */

import { nearestName, ShardlineError } from '@shardline/core';
import { type Command, Option } from 'commander';
import type { Answer } from './answer.js';
import { SETTINGS, type Setting } from './config/settings.js';
import { cliErrors } from './errors.js';
import type { Host } from './host.js';
import { Session } from './session.js';

/** A verb: what the words were parsed to, in; an answer, out. */
export type Verb<Parameters extends unknown[]> = (
  session: Session,
  ...parameters: Parameters
) => Promise<Answer>;

/** Makes a verb what commander calls. */
export type Bind = <Parameters extends unknown[]>(
  verb: Verb<Parameters>,
) => (...parameters: Parameters) => Promise<void>;

/** Who is told of a call's beginning and end. */
export interface Delivery {
  opened(session: Session): void;
  answered(answer: Answer, session: Session): void;
}

/** Binds verbs to a host. */
export function createBind(host: Host, delivery: Delivery): Bind {
  return (verb) =>
    async (...parameters) => {
      // Commander hands over the arguments, the options and, at the end, the command itself.
      const command = (parameters as unknown[]).at(-1) as Command;
      const session = new Session(host, flagsOf(command));
      delivery.opened(session);
      // An option that a command shares with one below it, `plan --check add`, is parsed by the upper one.
      const given = parameters.with(-2, command.optsWithGlobals()) as typeof parameters;
      delivery.answered(await verb(session, ...given), session);
    };
}

/** What was said on the command line itself, for the command and those above it; no defaults. */
function flagsOf(command: Command): Record<string, unknown> {
  const flags: Record<string, unknown> = {};
  for (let at: Command | null = command; at !== null; at = at.parent) {
    for (const [name, value] of Object.entries(at.opts())) {
      const source = at.getOptionValueSource(name);
      if (source === 'cli' || source === 'implied') flags[name] ??= value;
    }
  }
  return flags;
}

/**
 * Takes words behind a command that has commands below it: they can only be one of those, mistyped.
 *
 * @throws ShardlineError `CLI_USAGE`, with the nearest right word.
 */
export function refuseWords(command: Command, words: readonly string[]): void {
  const [word] = words;
  if (word === undefined) return;
  const known = command.commands.map((each) => each.name());
  const nearest = nearestName(word, known);
  throw new ShardlineError(
    cliErrors.CLI_USAGE,
    `Unknown command '${command.name()} ${word}'; there are ${known.join(', ')}.${
      nearest === undefined ? '' : ` Did you mean ${nearest}?`
    }`,
  );
}

/** Adds the settings of a scope to a command. */
export function addSettings(command: Command, scope: Setting['scope']): Command {
  for (const setting of SETTINGS as readonly Setting[]) {
    if (setting.scope === scope) command.addOption(optionOf(setting));
  }
  return command;
}

function optionOf({ name, flag, kind, description, variable, fallback }: Setting): Option {
  const standard = typeof fallback === 'boolean' ? '' : `; default ${fallback}`;
  const option = new Option(flag, `${description} (${variable}${standard})`);
  if (typeof kind === 'object') option.choices([...kind.oneOf]);
  // Two settings are named otherwise than their flags: `--switch-lag` is kept in bytes.
  option.attributeName = () => name;
  return option;
}

/** Examples behind the help of a command. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ shardline ${line}`).join('\n')}\n`;
}
