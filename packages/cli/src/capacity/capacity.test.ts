import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fleetFor } from './fleet.js';
import { assumptionsOf, formatBytes } from './index.js';
import { DEFAULT_HARDWARE, DEFAULT_LOAD } from './load.js';
import { ASSUMED, measuredFrom } from './measured.js';

const results = {
  machine: { cores: 2 },
  rows: [
    { id: 'cache/l1-get', measurements: [{ name: 'L1 hit, awaited get', ours: 130 }] },
    {
      id: 'cache/l2-hit',
      measurements: [
        { name: 'L2 hit, 64 callers', ours: 240_000, details: { 'our CPU, us': 4.2 } },
      ],
    },
    {
      id: 'pool/point-read',
      measurements: [
        { name: 'routed point read, 32 callers, not pipelined', ours: 30_000 },
        { name: 'routed point read, 32 callers, pipelined', ours: 55_000 },
      ],
    },
    { id: 'layer/entity-get', measurements: [] },
  ],
};

describe('the figures of a run', () => {
  it('are taken where they were measured, and said to be assumed where not', () => {
    const measured = measuredFrom(results);
    expect(measured.l1Microseconds).toEqual({ value: 0.13, source: 'measured' });
    expect(measured.l2Microseconds).toEqual({ value: 4.2, source: 'measured' });
    expect(measured.readsPerSecondAndCore).toEqual({ value: 55_000, source: 'measured' });
    expect(measured.hitShare).toEqual(ASSUMED.hitShare);
  });

  it('stay assumed for a file that is something else', () => {
    for (const other of [undefined, null, {}, { rows: [] }, []]) {
      expect(measuredFrom(other)).toEqual(ASSUMED);
    }
  });
});

describe('a fleet', () => {
  it('for a small service is what keeps it alive when one part fails', () => {
    expect(fleetFor({ ...DEFAULT_LOAD, users: 10_000 }, ASSUMED)).toMatchObject({
      processes: 3,
      shards: 1,
      databaseServers: 3,
      redisNodes: 2,
      memcachedNodes: 2,
      shardsBoundBy: 'one is enough',
    });
  });

  it('adds up by hand for a load of round numbers', () => {
    const load = {
      ...DEFAULT_LOAD,
      users: 8_640_000,
      requestsPerUserPerDay: 100,
      peakFactor: 1,
      growthPerYear: 0,
      bytesPerUser: 100_000,
    };
    const fleet = fleetFor(load, ASSUMED);
    expect(fleet.peakRequestsPerSecond).toBe(10_000);
    expect(fleet.peakLookupsPerSecond).toBe(100_000);
    // 12 000 lookups go to the database; 1000 requests write three times.
    expect(fleet.peakStatementsPerSecond).toBeCloseTo(15_000);
    // 864 GB, of which a server takes 300.
    expect(fleet).toMatchObject({ shards: 3, shardsBoundBy: 'bytes' });
  });

  it('never shrinks when users, writes or data grow', () => {
    const growing = fc.record({
      users: fc.integer({ min: 1000, max: 100_000_000 }),
      factor: fc.double({ min: 1, max: 10, noNaN: true }),
    });
    fc.assert(
      fc.property(growing, ({ users, factor }) => {
        const small = fleetFor({ ...DEFAULT_LOAD, users }, ASSUMED);
        const large = fleetFor({ ...DEFAULT_LOAD, users: users * factor }, ASSUMED);
        for (const part of ['processes', 'shards', 'redisNodes', 'memcachedNodes'] as const) {
          expect(large[part]).toBeGreaterThanOrEqual(small[part]);
        }
      }),
    );
  });
});

describe('assumptions', () => {
  it('name every figure, and whether it was measured', () => {
    const text = assumptionsOf(DEFAULT_LOAD, measuredFrom(results), DEFAULT_HARDWARE).join('\n');
    expect(text).toContain('L1 microseconds: 0.13 (measured).');
    expect(text).toContain('Hit share: 0.88 (assumed).');
    expect(text).toContain('An extrapolation');
  });

  it('write bytes as people do', () => {
    expect([999, 200_000, 500e9].map(formatBytes)).toEqual(['999 B', '200 kB', '500 GB']);
  });
});
