import { type ConfigurationFault, nearestName, ShardlineError } from '@shardline/core';
import { cacheErrors } from '../errors.js';

/**
 * Events to what they invalidate. Pure.
 *
 *     'user.profile.updated': ['userProfiles:{userId}', 'leaderboards:*', 'posts#author:{userId}']
 *
 * A target is `namespace:key`, `namespace:pattern` with `*` in some parts, or `namespace#tag`; `{name}`
 * and `{name.inner}` are taken from the event's payload. All rules are parsed at start, so that a typo
 * is a fault of the configuration and not a cache that is silently never invalidated.
 */
export type Rules = Readonly<Record<string, readonly string[]>>;

/** One thing that an event invalidates. */
export interface RuleHit {
  readonly namespace: string;
  readonly kind: 'key' | 'pattern' | 'tag';
  readonly text: string;
}

interface ParsedTarget {
  readonly source: string;
  readonly namespace: string;
  readonly kind: RuleHit['kind'];
  readonly template: string;
}

const TARGET = /^([A-Za-z0-9_.-]+)([:#])(.+)$/s;
const PLACEHOLDER = /\{([^{}]*)\}/g;

export class RuleBook {
  readonly #byEvent = new Map<string, readonly ParsedTarget[]>();
  /** What is wrong with the rules as such; namespaces are checked as they are declared. */
  readonly faults: ConfigurationFault[] = [];

  /** @param subject the option that the rules stand in, for messages. */
  constructor(rules: Rules, subject = 'rules') {
    for (const [event, targets] of Object.entries(rules)) {
      this.#byEvent.set(
        event,
        targets.flatMap((source, index) => this.#parse(source, `${subject}['${event}'][${index}]`)),
      );
    }
  }

  has(event: string): boolean {
    return this.#byEvent.has(event);
  }

  get events(): readonly string[] {
    return [...this.#byEvent.keys()];
  }

  /** Namespaces that rules name. */
  get namespaces(): ReadonlySet<string> {
    return new Set([...this.#byEvent.values()].flat().map(({ namespace }) => namespace));
  }

  /** Targets of one namespace, for checking them against its template. */
  patternsOf(namespace: string): readonly string[] {
    return [...this.#byEvent.values()]
      .flat()
      .filter((target) => target.namespace === namespace && target.kind === 'pattern')
      .map(({ template }) => template.replace(PLACEHOLDER, 'x'));
  }

  /**
   * What an event invalidates.
   *
   * @throws ShardlineError `CACHE_EVENT_UNKNOWN`, `CACHE_EVENT_PAYLOAD`.
   */
  hitsOf(event: string, payload: unknown): RuleHit[] {
    const targets = this.#byEvent.get(event);
    if (targets === undefined) throw this.#unknown(event);
    return targets.map(({ source, namespace, kind, template }) => ({
      namespace,
      kind,
      text: template.replace(PLACEHOLDER, (_, path: string) =>
        fieldOf(payload, path, event, source, kind === 'pattern'),
      ),
    }));
  }

  #parse(source: string, path: string): ParsedTarget[] {
    const match = typeof source === 'string' ? TARGET.exec(source) : null;
    if (match === null) {
      const message = `'${source}' must be 'namespace:key', 'namespace:pattern' or 'namespace#tag'`;
      this.faults.push({ path, message });
      return [];
    }
    const [, namespace, mark, template] = match as unknown as [string, string, string, string];
    if (template.replace(PLACEHOLDER, '').match(/[{}]/) || /\{\s*\}/.test(template)) {
      this.faults.push({ path, message: `'${source}' has a brace without its partner or name` });
    }
    const kind = mark === '#' ? 'tag' : template.split(':').includes('*') ? 'pattern' : 'key';
    if (kind !== 'pattern' && /[*?[\]]/.test(template.replace(PLACEHOLDER, ''))) {
      const message = `'${source}' has a wildcard that is not a whole part: write '*' between colons`;
      this.faults.push({ path, message });
    }
    return [{ source, namespace, kind, template }];
  }

  #unknown(event: string): ShardlineError {
    const nearest = nearestName(event, this.events);
    const hint = nearest === undefined ? '' : ` Did you mean '${nearest}'?`;
    return new ShardlineError(
      cacheErrors.CACHE_EVENT_UNKNOWN,
      `No rule is declared for the event '${event}'.${hint}`,
    );
  }
}

function fieldOf(
  payload: unknown,
  path: string,
  event: string,
  source: string,
  isInPattern: boolean,
): string {
  let value: unknown = payload;
  for (const name of path.split('.')) {
    const holds = typeof value === 'object' && value !== null && Object.hasOwn(value, name);
    value = holds ? (value as Record<string, unknown>)[name] : undefined;
  }
  // Within a pattern a colon would move the parts, and a star would make it cover more than was meant.
  const isPlain = typeof value === 'string' && value !== '' && !(isInPattern && /[:*]/.test(value));
  if (isPlain) return value as string;
  if (typeof value === 'number' || typeof value === 'bigint') return String(value);
  throw new ShardlineError(
    cacheErrors.CACHE_EVENT_PAYLOAD,
    `The rule '${source}' of event '${event}' needs '${path}' as a text or number that fits there.`,
  );
}
