import type { StampPair } from '../entry/frame-extras.js';

/** The stamp that every invalidation of any tag changes, so that tags found after a load can be judged. */
export const ANY_TAG_STAMP = 'g';

const TAG_PREFIX = 't:';
const NO_NAMES: readonly string[] = [];

/** The stamp of a tag. */
export function tagStamp(tag: string): string {
  return TAG_PREFIX + tag;
}

/** Whether a stamp is a tag's. */
export function isTagStamp(name: string): boolean {
  return name.startsWith(TAG_PREFIX);
}

/** Names of the tags among an entry's stamps: the others follow from the key's shape. */
export function tagNamesOf(stamps: readonly StampPair[]): readonly string[] {
  let names: string[] | undefined;
  for (const { name } of stamps) {
    if (!isTagStamp(name)) continue;
    names ??= [];
    names.push(name);
  }
  return names ?? NO_NAMES;
}
