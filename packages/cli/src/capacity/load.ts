/** A service as its planners know it. Every member has a default that `assumptionsOf` states. */
export interface Load {
  /** Registered users. */
  readonly users: number;
  /** Requests of one user on an average day. */
  readonly requestsPerUserPerDay: number;
  /** The busiest minute as a multiple of the average. */
  readonly peakFactor: number;
  /** Share of requests that only read, 0 to 1. */
  readonly readShare: number;
  /** Entities that one request looks up. */
  readonly lookupsPerRequest: number;
  /** Statements of one request that writes. */
  readonly statementsPerWrite: number;
  /** CPU of the service's own code per request: parsing, rules, JSON. */
  readonly ownCpuMicroseconds: number;
  /** Bytes in the database per user, indexes included. */
  readonly bytesPerUser: number;
  /** Bytes per user that are worth keeping in a shared cache. */
  readonly cachedBytesPerUser: number;
  /** Growth of users and data per year: 0.5 is half as much again. */
  readonly growthPerYear: number;
  /** Years for which the fleet must do. */
  readonly years: number;
}

export const DEFAULT_LOAD: Load = {
  users: 1_000_000,
  requestsPerUserPerDay: 200,
  peakFactor: 10,
  readShare: 0.9,
  lookupsPerRequest: 10,
  statementsPerWrite: 3,
  ownCpuMicroseconds: 1000,
  bytesPerUser: 200_000,
  cachedBytesPerUser: 10_000,
  growthPerYear: 0.5,
  years: 1,
};

/** What a unit of hardware is taken to be, and how full it may get. */
export interface Hardware {
  /** Share of a process, a core or a server that may be in use at the peak. */
  readonly utilisation: number;
  readonly databaseCores: number;
  readonly databaseBytes: number;
  /** Statements that write, per second and core: bound by WAL and fsync rather than by CPU. */
  readonly writesPerSecondAndCore: number;
  readonly redisBytes: number;
  /** CPU of Redis per key read, packed: MGET. */
  readonly redisMicrosecondsPerRead: number;
  readonly memcachedBytes: number;
  /** Servers that hold a copy of each shard beside the primary. */
  readonly replicasPerShard: number;
}

export const DEFAULT_HARDWARE: Hardware = {
  utilisation: 0.6,
  databaseCores: 16,
  databaseBytes: 500e9,
  writesPerSecondAndCore: 1000,
  redisBytes: 24e9,
  redisMicrosecondsPerRead: 2,
  memcachedBytes: 48e9,
  replicasPerShard: 2,
};
