import { type ConfigurationFault, configurationError } from '@shardline/core';
import { assertFreshness } from '../entry/standing-freshness.js';
import { assertKey } from '../keys.js';
import type { InvalidationTarget, InvalidationTask } from './invalidator.js';
import type { KeyTemplate } from './key-template.js';
import type { InvalidationRecord } from './outbox.js';
import type { RuleHit } from './rules.js';
import { tagStamp } from './tag-stamp.js';

/** From what a rule names to a plain row, and from the row to what has to be done. */

/** A rule's hit as a plain row. */
export function recordOf({ namespace, kind, text }: RuleHit): InvalidationRecord {
  if (kind === 'key') return { namespace, keys: [text] };
  return kind === 'tag' ? { namespace, tags: [text] } : { namespace, patterns: [text] };
}

/** A namespace that a row may name. */
type TaskTarget = InvalidationTarget & { readonly policy: { readonly template: KeyTemplate } };

function taskOf(runtime: TaskTarget, record: InvalidationRecord): InvalidationTask {
  const { template } = runtime.policy;
  for (const key of record.keys ?? []) assertKey(runtime.name, key);
  assertFreshness(runtime.name, record.freshness);
  const patterns = record.patterns ?? [];
  return {
    target: runtime,
    keys: record.keys ?? [],
    stamps: [
      ...(record.tags ?? []).map(tagStamp),
      ...patterns.map((pattern) => template.stampOfPattern(runtime.name, pattern)),
    ],
    freshness: record.freshness,
  };
}

/**
 * What rows ask of the namespaces of a cache.
 *
 * @throws ShardlineError `CONFIG_INVALID` for a namespace that it does not have.
 */
export function tasksOf(
  runtimes: ReadonlyMap<string, TaskTarget>,
  records: readonly InvalidationRecord[],
): InvalidationTask[] {
  const faults: ConfigurationFault[] = [];
  const tasks = records.flatMap((record) => {
    const runtime = runtimes.get(record.namespace);
    if (runtime !== undefined) return [taskOf(runtime, record)];
    faults.push({ path: record.namespace, message: 'is no namespace of this cache' });
    return [];
  });
  if (faults.length > 0) throw configurationError('an invalidation', faults);
  return mergeTasks(tasks);
}

/** One task for each namespace, without doubles; what carries a freshness mark stays by itself. */
export function mergeTasks(tasks: readonly InvalidationTask[]): InvalidationTask[] {
  const marked = tasks.filter(({ freshness }) => freshness !== undefined);
  const merged = new Map<InvalidationTask['target'], { keys: Set<string>; stamps: Set<string> }>();
  for (const { target, keys, stamps, freshness } of tasks) {
    if (freshness !== undefined) continue;
    const one = merged.get(target) ?? { keys: new Set(), stamps: new Set() };
    merged.set(target, one);
    for (const key of keys) one.keys.add(key);
    for (const name of stamps) one.stamps.add(name);
  }
  const plain = [...merged].map(([target, { keys, stamps }]) => ({
    target,
    keys: [...keys],
    stamps: [...stamps],
  }));
  return [...marked, ...plain];
}
