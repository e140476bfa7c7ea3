/**
 * References to the environment within a configuration, so that no secret needs to stand in a file.
 *
 * `'env:NAME'` as a whole text is the variable's value; `${NAME}` within a text is replaced by it. In the user part of
 * a URL the value is percent-encoded, since a password may hold any character: variables hold passwords as
 * they are. Only plain objects and arrays are looked through; schemas and connections stay what they are.
 */

import { type ConfigurationFault, configurationError } from '@shardline/core';

/** Variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

const WHOLE = /^env:([A-Za-z_][A-Za-z0-9_]*)$/;
const WITHIN = /\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g;

/**
 * Puts variables in the place of the references to them.
 *
 * @param subject for the message: what is being configured.
 * @throws ShardlineError `CONFIG_INVALID`, with every reference to a variable that is not set.
 *
 * @example
 * ```ts
 * import { expandEnvironment } from 'shardline';
 *
 * const url = 'postgres://app:${PASSWORD}@db-1/shop';
 * const { primary } = expandEnvironment({ primary: url }, { PASSWORD: 'a/b' }, 'the shop');
 * // postgres://app:a%2Fb@db-1/shop
 * ```
 */
export function expandEnvironment<T>(value: T, environment: Environment, subject: string): T {
  const faults: ConfigurationFault[] = [];
  const expanded = expand(value, '', environment, faults);
  if (faults.length > 0) throw configurationError(subject, faults);
  return expanded as T;
}

function expand(
  value: unknown,
  path: string,
  environment: Environment,
  faults: ConfigurationFault[],
): unknown {
  if (typeof value === 'string') return expandText(value, path, environment, faults);
  if (Array.isArray(value)) {
    return value.map((item, at) => expand(item, `${path}[${at}]`, environment, faults));
  }
  if (!isPlainObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [
      key,
      expand(member, path === '' ? key : `${path}.${key}`, environment, faults),
    ]),
  );
}

function expandText(
  text: string,
  path: string,
  environment: Environment,
  faults: ConfigurationFault[],
): string {
  const lookUp = (name: string): string => {
    const value = environment[name];
    if (value !== undefined) return value;
    faults.push({ path, message: `the environment variable ${name} is not set` });
    return '';
  };
  const whole = WHOLE.exec(text);
  if (whole !== null) return lookUp(whole[1] as string);
  const userEnd = userPartEnd(text);
  return text.replace(WITHIN, (_, name: string, at: number) =>
    at < userEnd ? encodeURIComponent(lookUp(name)) : lookUp(name),
  );
}

/** Where the user part of a URL ends; zero for what is none, or has no user. */
function userPartEnd(text: string): number {
  const authority = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i.exec(text)?.[0] ?? '';
  return Math.max(0, authority.lastIndexOf('@'));
}

/** Schemas are objects too; they bear a prototype or the mark of the standard, and are left alone. */
function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || '~standard' in value) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
