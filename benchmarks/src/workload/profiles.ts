/** A user's profile as a service caches it. */
export interface Profile {
  readonly id: number;
  readonly name: string;
  readonly email: string;
  readonly level: number;
  readonly balance: number;
  readonly roles: readonly string[];
  readonly seenAt: string;
  readonly note: string;
}

/**
 * About 230 bytes as JSON: the median mean object size over Twitter's cache clusters (Yang, Yue, Rashmi, "A large scale
 * analysis of hundreds of in-memory cache clusters at Twitter", OSDI 2020). `noteBytes` makes it larger.
 */
export function profileOf(id: number, noteBytes = 40): Profile {
  return {
    id,
    name: `user ${id}`,
    email: `user.${id}@example.org`,
    level: id % 50,
    balance: (id * 7919) % 100_000,
    roles: ['player', id % 7 === 0 ? 'host' : 'guest'],
    seenAt: new Date(1_700_000_000_000 + id * 1000).toISOString(),
    note: 'x'.repeat(noteBytes),
  };
}
