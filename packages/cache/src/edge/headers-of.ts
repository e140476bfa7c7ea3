import { tagStamp } from '../invalidate/tag-stamp.js';
import type { NamespaceRuntime } from '../runtime.js';
import { edgeHeaders, type HeaderFields } from './headers.js';
import { targetOfKey, targetOfStamp } from './surrogate-keys.js';

/** Header fields for a response made of one value: how long it may be kept, and every name that purges it. */
export function headersOf(
  { name, policy, addresses: { prefix }, isStrict }: NamespaceRuntime,
  key: string,
  value: unknown,
): HeaderFields {
  const tags = (policy.tags?.(key, value) ?? []).map(tagStamp);
  const stamps = [...policy.template.stampsOf(key), ...tags];
  const targets = [
    targetOfKey(prefix, name, key),
    ...stamps.map((stamp) => targetOfStamp(prefix, name, stamp)),
  ];
  return edgeHeaders({ ...policy, isStrict }, targets);
}
