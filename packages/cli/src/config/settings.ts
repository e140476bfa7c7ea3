/**
 * What can be set, and by whom: one rule for everything.
 *
 * ```
 * --flag  >  SHARDLINE_VARIABLE  >  configuration file  >  default
 * ```
 * This table is the only list of settings: flags, variables, `config print` and the README follow from it.
 */

import { type ConfigurationFault, configurationError, durationFault } from '@shardline/core';
import type { DataLayerConfig, Provider } from 'shardline';

/** A setting, and everywhere that it can be set. */
export interface Setting {
  readonly name: string;
  /** As commander writes it: `--lock-timeout <duration>`. */
  readonly flag: string;
  readonly variable: string;
  /** Where it stands in the configuration file; undefined for what has no place there. */
  readonly path?: string;
  readonly kind: Kind;
  readonly description: string;
  /** In words; what holds if nobody sets it. */
  readonly fallback?: string | number | boolean;
  readonly isSecret?: true;
  /** Which commands take it: all, those that run moves, or those that make plans. */
  readonly scope: 'all' | 'moves' | 'plans';
}

type Kind =
  | 'text'
  | 'duration'
  | 'integer'
  | 'bytes'
  | 'boolean'
  | { readonly oneOf: readonly string[] };

const LIMITS = 'administration.limits';

/** The library's own list would load the library, for `--help` too; the type holds the two together. */
const PROVIDERS = Object.keys({
  'self-hosted': true,
  rds: true,
  aurora: true,
  cloudsql: true,
  azure: true,
  neon: true,
  supabase: true,
} satisfies Record<Provider, true>);

/** Every setting, in the order in which `config print` shows them. */
export const SETTINGS = [
  {
    name: 'config',
    flag: '--config <file>',
    variable: 'SHARDLINE_CONFIG',
    kind: 'text',
    description: 'configuration file',
    fallback: 'shardline.config.{ts,mts,mjs,js,json}, from here upwards',
    scope: 'all',
  },
  {
    name: 'format',
    flag: '--format <format>',
    variable: 'SHARDLINE_FORMAT',
    kind: { oneOf: ['text', 'json', 'ndjson'] },
    description: 'text, json (one document) or ndjson (a line for each event)',
    fallback: 'text',
    scope: 'all',
  },
  {
    name: 'yes',
    flag: '--yes',
    variable: 'SHARDLINE_YES',
    kind: 'boolean',
    description: 'answer every question with yes',
    fallback: false,
    scope: 'all',
  },
  {
    name: 'keyspace',
    flag: '--keyspace <name>',
    variable: 'SHARDLINE_KEYSPACE',
    kind: 'text',
    description: 'which keyspace, where there are several',
    fallback: 'the only one',
    scope: 'all',
  },
  {
    name: 'answerTimeout',
    flag: '--answer-timeout <duration>',
    variable: 'SHARDLINE_ANSWER_TIMEOUT',
    kind: 'duration',
    description: 'longest wait for the answer to one question',
    fallback: '1m',
    scope: 'all',
  },
  {
    name: 'catalog',
    flag: '--catalog <url>',
    variable: 'SHARDLINE_CATALOG',
    path: 'administration.catalog',
    kind: 'text',
    description: 'catalog, with a role that owns schema shardline',
    fallback: '`catalog` of the file',
    isSecret: true,
    scope: 'all',
  },
  {
    name: 'provider',
    flag: '--provider <name>',
    variable: 'SHARDLINE_PROVIDER',
    path: 'administration.provider',
    kind: { oneOf: PROVIDERS },
    description: 'who offers the servers; remedies are in their words',
    fallback: 'self-hosted',
    scope: 'all',
  },
  {
    name: 'lease',
    flag: '--lease <duration>',
    variable: 'SHARDLINE_LEASE',
    path: 'administration.lease',
    kind: 'duration',
    description: 'how long a mover that does not answer keeps a move to itself',
    fallback: '10s',
    scope: 'moves',
  },
  {
    name: 'lockTimeout',
    flag: '--lock-timeout <duration>',
    variable: 'SHARDLINE_LOCK_TIMEOUT',
    path: `${LIMITS}.lockTimeout`,
    kind: 'duration',
    description: 'longest wait for a lock on the tables of a shard, per try',
    fallback: '300ms',
    scope: 'moves',
  },
  {
    name: 'longTransactions',
    flag: '--long-transactions <policy>',
    variable: 'SHARDLINE_LONG_TRANSACTIONS',
    path: `${LIMITS}.longTransactions`,
    kind: { oneOf: ['wait', 'terminate'] },
    description: 'what to do with transactions that keep the fence from being set',
    fallback: 'wait',
    scope: 'moves',
  },
  {
    name: 'terminateAfter',
    flag: '--terminate-after <duration>',
    variable: 'SHARDLINE_TERMINATE_AFTER',
    path: `${LIMITS}.terminateAfter`,
    kind: 'duration',
    description: 'how long such a transaction may go on before it is terminated',
    fallback: '30s',
    scope: 'moves',
  },
  {
    name: 'pauseTimeout',
    flag: '--pause-timeout <duration>',
    variable: 'SHARDLINE_PAUSE_TIMEOUT',
    path: `${LIMITS}.pauseTimeout`,
    kind: 'duration',
    description: 'longest time that callers are held back at a switch',
    fallback: '5s',
    scope: 'moves',
  },
  {
    name: 'switchLagBytes',
    flag: '--switch-lag <bytes>',
    variable: 'SHARDLINE_SWITCH_LAG',
    path: `${LIMITS}.switchLagBytes`,
    kind: 'bytes',
    description: 'largest distance between the shards at which a switch begins',
    fallback: 1_048_576,
    scope: 'moves',
  },
  {
    name: 'routersTimeout',
    flag: '--routers-timeout <duration>',
    variable: 'SHARDLINE_ROUTERS_TIMEOUT',
    path: `${LIMITS}.routersTimeout`,
    kind: 'duration',
    description: 'longest wait for every router to know a shard that joins',
    fallback: '11m',
    scope: 'moves',
  },
  {
    name: 'rollbackWindow',
    flag: '--rollback-window <duration>',
    variable: 'SHARDLINE_ROLLBACK_WINDOW',
    path: `${LIMITS}.rollbackWindow`,
    kind: 'duration',
    description: 'how long after the switch a rollback stays possible',
    fallback: '1h',
    scope: 'moves',
  },
  {
    name: 'replicaLag',
    flag: '--replica-lag <duration>',
    variable: 'SHARDLINE_REPLICA_LAG',
    path: `${LIMITS}.replicaLag`,
    kind: 'duration',
    description: 'largest lag of a replica before the copy is slowed down',
    fallback: '10s',
    scope: 'moves',
  },
  {
    name: 'slotBytes',
    flag: '--slot-bytes <bytes>',
    variable: 'SHARDLINE_SLOT_BYTES',
    path: `${LIMITS}.slotBytes`,
    kind: 'bytes',
    description: 'most WAL that the replication slot of a move may hold back',
    fallback: 10_737_418_240,
    scope: 'moves',
  },
  {
    name: 'moveBytes',
    flag: '--move-bytes <bytes>',
    variable: 'SHARDLINE_MOVE_BYTES',
    path: `${LIMITS}.moveBytes`,
    kind: 'bytes',
    description: 'most bytes of one move; a plan cuts what is more into several',
    fallback: 53_687_091_200,
    scope: 'plans',
  },
  {
    name: 'parallelMoves',
    flag: '--parallel-moves <count>',
    variable: 'SHARDLINE_PARALLEL_MOVES',
    path: `${LIMITS}.parallelMoves`,
    kind: 'integer',
    description: 'most moves that copy at once',
    fallback: 2,
    scope: 'moves',
  },
  {
    name: 'cleanBatchRows',
    flag: '--clean-batch-rows <count>',
    variable: 'SHARDLINE_CLEAN_BATCH_ROWS',
    path: `${LIMITS}.cleanBatchRows`,
    kind: 'integer',
    description: 'rows per transaction of clean-up',
    fallback: 1000,
    scope: 'moves',
  },
  {
    name: 'verify',
    flag: '--no-verify',
    variable: 'SHARDLINE_VERIFY',
    path: `${LIMITS}.verify`,
    kind: 'boolean',
    description: 'do not compare the rows of both sides before the switch',
    fallback: true,
    scope: 'moves',
  },
] as const satisfies readonly Setting[];

/** The name of a setting. */
export type SettingName = (typeof SETTINGS)[number]['name'];

/** What holds of a setting, and who said so. */
export interface ResolvedSetting {
  readonly name: SettingName;
  readonly value: unknown;
  /** `--flag`, a variable, a path within the file, or `default`. */
  readonly origin: string;
  readonly source: 'flag' | 'variable' | 'file' | 'default';
}

/** Settings by name. */
export type ResolvedSettings = Readonly<Record<SettingName, ResolvedSetting>>;

/** Where settings come from. Flags are keyed by the names of settings. */
export interface SettingSources {
  readonly flags: Readonly<Record<string, unknown>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Undefined before the file is known, or where there is none. */
  readonly file?: { readonly path: string; readonly config: unknown } | undefined;
}

/**
 * Settles every setting by the one rule.
 *
 * @throws ShardlineError `CONFIG_INVALID`, with every flag and variable that cannot be read.
 */
export function resolveSettings(sources: SettingSources): ResolvedSettings {
  const faults: ConfigurationFault[] = [];
  const resolved = SETTINGS.map((setting) => resolveOne(setting, sources, faults));
  if (faults.length > 0) throw configurationError('the command line', faults);
  return Object.fromEntries(resolved.map((each) => [each.name, each])) as ResolvedSettings;
}

function resolveOne(
  setting: Setting & { readonly name: SettingName },
  { flags, environment, file }: SettingSources,
  faults: ConfigurationFault[],
): ResolvedSetting {
  const { name, variable, path } = setting;
  const flag = flags[name];
  if (flag !== undefined) {
    const origin = flagName(setting);
    return { name, value: read(setting, flag, origin, faults), origin, source: 'flag' };
  }
  const text = environment[variable];
  if (text !== undefined && text !== '') {
    const value = read(setting, text, variable, faults);
    return { name, value, origin: variable, source: 'variable' };
  }
  const value = path === undefined ? undefined : memberAt(file?.config, path);
  if (value !== undefined) {
    return { name, value, origin: `${file?.path}: ${path}`, source: 'file' };
  }
  return { name, value: setting.fallback, origin: 'default', source: 'default' };
}

/** The flag without its argument: `--lock-timeout`. */
export function flagName({ flag }: Pick<Setting, 'flag'>): string {
  return flag.split(' ')[0] as string;
}

/** The configuration with what flags and variables say put in its place. */
export function withOverrides(
  config: DataLayerConfig,
  settings: ResolvedSettings,
): DataLayerConfig {
  const copy = { ...config };
  for (const setting of SETTINGS as readonly (Setting & { name: SettingName })[]) {
    const { value, source } = settings[setting.name];
    if (setting.path === undefined || source === 'file' || source === 'default') continue;
    setAt(copy as Record<string, unknown>, setting.path.split('.'), value);
  }
  return copy;
}

function setAt(target: Record<string, unknown>, [key, ...rest]: string[], value: unknown): void {
  if (key === undefined) return;
  if (rest.length === 0) {
    target[key] = value;
    return;
  }
  const inner = { ...(target[key] as Record<string, unknown> | undefined) };
  target[key] = inner;
  setAt(inner, rest, value);
}

function memberAt(value: unknown, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], value);
}

const BYTE_FACTORS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** Bytes of a text such as `64MB`, `1GiB` or `1048576`; undefined if it is none. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  const factor = BYTE_FACTORS[match?.[2]?.toLowerCase() ?? ''];
  if (match === null || factor === undefined) return undefined;
  return Math.round(Number(match[1]) * factor);
}

function read(
  { kind }: Setting,
  value: unknown,
  origin: string,
  faults: ConfigurationFault[],
): unknown {
  const fault = (message: string) => {
    faults.push({ path: origin, message });
    return undefined;
  };
  const text = String(value);
  if (typeof kind === 'object') {
    if (kind.oneOf.includes(text)) return text;
    return fault(`must be one of ${kind.oneOf.join(', ')}, received '${text}'`);
  }
  switch (kind) {
    case 'text':
      return text;
    case 'duration':
      return durationFault(text) === undefined ? text : fault(durationFault(text) as string);
    case 'integer':
      return /^\d+$/.test(text) && Number.isSafeInteger(Number(text))
        ? Number(text)
        : fault(`must be a whole number, received '${text}'`);
    case 'bytes':
      return parseBytes(text) ?? fault(`must be a size such as 64MB or 1GiB, received '${text}'`);
    case 'boolean':
      if (/^(true|1|yes|on)$/i.test(text)) return true;
      if (/^(false|0|no|off)$/i.test(text)) return false;
      return fault(`must be true or false, received '${text}'`);
  }
}
