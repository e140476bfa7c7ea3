import * as v from 'valibot';

const Servers = v.object({
  /** The database that says which shard owns what. */
  catalog: v.string(),
  /** Shards by name: a primary and its replicas, as PostgreSQL URLs. */
  shards: v.record(v.string(), v.object({ primary: v.string(), replicas: v.array(v.string()) })),
  redis: v.string(),
  memcached: v.array(v.string()),
  /** Signs session tokens: 32 random bytes or more, the same in every process. */
  sessionSecret: v.string(),
});

/** Where the servers of one deployment are. */
export type BettingServers = v.InferOutput<typeof Servers>;

/** Reads them as JSON from `BETTING_SERVERS`; what is missing or mistyped is named. */
export function serversFromEnvironment(): BettingServers {
  const text = process.env['BETTING_SERVERS'];
  if (text === undefined) throw new Error('BETTING_SERVERS is not set: see src/servers.ts.');
  const servers = v.safeParse(Servers, JSON.parse(text));
  if (servers.success) return servers.output;
  throw new Error(`BETTING_SERVERS: ${v.summarize(servers.issues)}`);
}
