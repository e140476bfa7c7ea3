/** Sets of slots as text: ascending ranges, `0-511,600,700-701`. What files, plans and messages show. */

import { ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';

/** Writes slots as ranges. */
export function formatSlots(slots: Iterable<number>): string {
  const sorted = [...slots].sort((a, b) => a - b);
  const parts: string[] = [];
  for (let at = 0; at < sorted.length; ) {
    const first = sorted[at] as number;
    let last = first;
    while (sorted[at + 1] === last + 1) {
      at += 1;
      last += 1;
    }
    parts.push(first === last ? `${first}` : `${first}-${last}`);
    at += 1;
  }
  return parts.join(',');
}

/**
 * Reads ranges back.
 *
 * @throws ShardlineError `TOPOLOGY_INVALID` for a text of another form or a slot out of range.
 */
export function parseSlots(text: string, slots: number): number[] {
  if (text === '') return [];
  return text.split(',').flatMap((part) => {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part.trim());
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (match === null || first > last || last >= slots) {
      throw new ShardlineError(
        routerErrors.TOPOLOGY_INVALID,
        `'${part}' is no range of slots from 0 to ${slots - 1}, such as '0-511' or '600'.`,
      );
    }
    return Array.from({ length: last - first + 1 }, (_, at) => first + at);
  });
}
