import { LRUCache } from 'lru-cache';
import {
  AdmissibleEntry,
  AdmittedEntries,
} from '../../../../packages/cache/src/tiers/memory/admission.js';
import { atLeast, countedRow } from '../../measure/rows.js';
import type { Row, Scenario } from '../../scenario.js';
import { zipfSampler } from '../../workload/popularity.js';
import { seededRandom } from '../../workload/random.js';

/** One request after the other; numbers stand for keys. */
interface Trace {
  readonly name: string;
  /** Where such a shape was seen. */
  readonly shape: string;
  readonly room: number;
  readonly next: () => number;
}

/** At least what plain LRU has, less a point: a policy that is better on the whole may lose a little somewhere. */
const ALLOWED_LOSS_POINTS = 1;

/**
 * Models: which keys are asked for, in the shapes that published traces have, and who may stay in memory: our admission
 * itself, without values. Leaves out: sizes, expiry, invalidation, other tiers and processes. The traces are drawn
 * anew in the shape that was published; they are not the recordings.
 */
export const traces: Scenario = {
  suite: 'simulation',
  name: 'traces',
  situation:
    'Hit rates of L1 over shapes of published traces: skew of social caches, one-hit wonders of a CDN, scans through a ' +
    'database, drifting popularity, newest first. Drawn by shape, not recordings; keys of one size, no expiry.',
  async run({ quick, signal, note }) {
    const requests = quick ? 300_000 : 3_000_000;
    const rows: Row[] = [];
    for (const trace of shapes()) {
      signal.throwIfAborted();
      note(`${trace.name}: ${trace.shape}`);
      const keys = Array.from({ length: requests }, () => `k${trace.next()}`);
      const ours = hitPercent(keys, admitted(trace.room));
      const lru = hitPercent(keys, plainLru(trace.room));
      rows.push(
        countedRow({
          suite: 'simulation',
          name: `hit rate, ${trace.name}`,
          peer: `plain LRU, less ${ALLOWED_LOSS_POINTS} point`,
          unit: '%',
          ours,
          theirs: lru - ALLOWED_LOSS_POINTS,
          target: atLeast(1),
          details: { 'plain LRU, %': lru, 'points more': ours - lru, shape: trace.shape },
        }),
      );
    }
    return rows;
  },
};

function shapes(): Trace[] {
  return [
    {
      name: 'social cache',
      shape: 'Zipf 1.2 over a million keys, room for 1 % (Twitter, OSDI 2020: mostly 1 to 2.5)',
      room: 10_000,
      next: zipfSampler(1_000_000, 1.2, seededRandom(21)),
    },
    oneHitWonders(),
    scans(),
    drift(),
    newestFirst(),
  ];
}

/** Two of five requests are for something that nobody asks for again. */
function oneHitWonders(): Trace {
  const random = seededRandom(22);
  const draw = zipfSampler(100_000, 0.9, random);
  let unique = 1_000_000;
  return {
    name: 'content delivery',
    shape:
      'Zipf 0.9 and 40 % one-hit wonders, room for 5 % (S3-FIFO, SOSP 2023: 26 % on average, up to 72 %)',
    room: 5000,
    next: () => {
      if (random() >= 0.4) return draw();
      unique += 1;
      return unique;
    },
  };
}

/** Now and then somebody reads a table from its beginning to its end. */
function scans(): Trace {
  const random = seededRandom(23);
  const draw = zipfSampler(50_000, 0.9, random);
  let at = 0;
  let left = 0;
  return {
    name: 'point reads and scans',
    shape:
      'Zipf 0.9, every 40 000 requests a scan of 20 000 keys, room for 10 % (as in the ARC traces, FAST 2003)',
    room: 5000,
    next: () => {
      if (left > 0) {
        left -= 1;
        at += 1;
        return 100_000 + (at % 200_000);
      }
      if (random() < 1 / 40_000) left = 20_000;
      return draw();
    },
  };
}

/** What is popular today was not yesterday. */
function drift(): Trace {
  const draw = zipfSampler(50_000, 1, seededRandom(24));
  let requests = 0;
  return {
    name: 'drifting popularity',
    shape:
      'Zipf 1.0 whose ranks pass to other keys, one per 20 requests, room for 2 % (photo and video feeds)',
    room: 1000,
    next: () => {
      requests += 1;
      return draw() + Math.floor(requests / 20);
    },
  };
}

/** YCSB D: the newest records are the most read. */
function newestFirst(): Trace {
  const random = seededRandom(25);
  const draw = zipfSampler(50_000, 0.99, random);
  let newest = 50_000;
  return {
    name: 'newest first',
    shape: 'YCSB D: 5 % inserts, reads of the newest by Zipf 0.99, room for 2 %',
    room: 1000,
    next: () => {
      if (random() >= 0.05) return newest - draw();
      newest += 1;
      return newest;
    },
  };
}

/** Asks for a key and puts it in if it is not there; whether it was. */
type Ask = (key: string) => boolean;

function admitted(room: number): Ask {
  const entries = new AdmittedEntries({ maxEntries: room, maxBytes: Number.MAX_SAFE_INTEGER });
  return (key) => {
    if (entries.hit(key) !== undefined) return true;
    entries.put(new AdmissibleEntry(key, 1));
    return false;
  };
}

function plainLru(room: number): Ask {
  const cache = new LRUCache<string, true>({ max: room });
  return (key) => {
    if (cache.get(key) === true) return true;
    cache.set(key, true);
    return false;
  };
}

function hitPercent(keys: readonly string[], ask: Ask): number {
  let hits = 0;
  for (const key of keys) if (ask(key)) hits += 1;
  return (100 * hits) / keys.length;
}
