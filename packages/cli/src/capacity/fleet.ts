import { DEFAULT_HARDWARE, type Hardware, type Load } from './load.js';
import type { Measured } from './measured.js';

/**
 * How large a fleet a load takes: an extrapolation from what one process and one server did, by addition.
 *
 * It adds up CPU and bytes and knows nothing of queues beyond the utilisation that is not exceeded, of networks, of
 * bad plans or of one key that everybody wants. It is meant to say whether a plan is of the right size, and which
 * resource will be the first to run out.
 */
export interface Fleet {
  readonly peakRequestsPerSecond: number;
  readonly peakLookupsPerSecond: number;
  readonly peakStatementsPerSecond: number;
  readonly processes: number;
  readonly shards: number;
  /** Primaries and replicas together. */
  readonly databaseServers: number;
  readonly redisNodes: number;
  readonly memcachedNodes: number;
  readonly databaseBytes: number;
  /** What decides the number of shards. */
  readonly shardsBoundBy: 'bytes' | 'writes' | 'reads' | 'one is enough';
  readonly requestsPerSecondAndProcess: number;
}

/** One more than needed, so that one may fail or be deployed; a service has at least three. */
const LEAST_PROCESSES = 3;

/**
 * The fleet for a load.
 *
 * @example
 * ```ts
 * import { ASSUMED, DEFAULT_LOAD, fleetFor } from '@shardline/cli';
 *
 * const { shards, processes } = fleetFor({ ...DEFAULT_LOAD, users: 10_000_000 }, ASSUMED);
 * console.log(`${shards} shards, ${processes} processes`);
 * ```
 */
export function fleetFor(
  load: Load,
  measured: Measured,
  hardware: Hardware = DEFAULT_HARDWARE,
): Fleet {
  const growth = (1 + load.growthPerYear) ** load.years;
  const users = load.users * growth;
  const requests = ((users * load.requestsPerUserPerDay) / 86_400) * load.peakFactor;
  const lookups = requests * load.lookupsPerRequest;
  const reads = lookups * (1 - measured.hitShare.value);
  const writes = requests * (1 - load.readShare) * load.statementsPerWrite;
  const databaseBytes = users * load.bytesPerUser;
  const shards = shardsFor({ reads, writes, databaseBytes }, measured, hardware);
  const perProcess = (1e6 * hardware.utilisation) / cpuPerRequest(load, measured);
  return {
    peakRequestsPerSecond: requests,
    peakLookupsPerSecond: lookups,
    peakStatementsPerSecond: reads + writes,
    processes: Math.max(LEAST_PROCESSES, Math.ceil(requests / perProcess) + 1),
    ...shards,
    databaseServers: shards.shards * (1 + hardware.replicasPerShard),
    redisNodes: redisNodesFor({ users, requests, lookups }, load, measured, hardware),
    memcachedNodes: Math.max(
      2,
      Math.ceil(
        (users * load.cachedBytesPerUser) / (hardware.memcachedBytes * hardware.utilisation),
      ),
    ),
    databaseBytes,
    requestsPerSecondAndProcess: perProcess,
  };
}

/** Microseconds of a process's one thread that a request takes at the mean. */
function cpuPerRequest(load: Load, measured: Measured): number {
  const { l1HitShare, hitShare } = measured;
  const shared = Math.max(0, hitShare.value - l1HitShare.value);
  const perLookup =
    measured.l1Microseconds.value +
    shared * measured.l2Microseconds.value +
    (1 - hitShare.value) * (measured.l2Microseconds.value + measured.statementMicroseconds.value);
  const perWrite = load.statementsPerWrite * measured.statementMicroseconds.value;
  return (
    load.ownCpuMicroseconds +
    measured.checkMicroseconds.value +
    load.lookupsPerRequest * perLookup +
    (1 - load.readShare) * perWrite
  );
}

function shardsFor(
  need: { reads: number; writes: number; databaseBytes: number },
  { readsPerSecondAndCore }: Measured,
  { databaseCores, databaseBytes, writesPerSecondAndCore, utilisation, replicasPerShard }: Hardware,
): Pick<Fleet, 'shards' | 'shardsBoundBy'> {
  const cores = databaseCores * utilisation;
  const counts = {
    bytes: need.databaseBytes / (databaseBytes * utilisation),
    // Every replica replays every write; the primary is the one that must make them.
    writes: need.writes / (writesPerSecondAndCore * cores),
    reads: need.reads / (readsPerSecondAndCore.value * cores * Math.max(1, replicasPerShard)),
  };
  const [bound, most] = Object.entries(counts).reduce((a, b) => (b[1] > a[1] ? b : a));
  const shards = Math.max(1, Math.ceil(most));
  return { shards, shardsBoundBy: shards === 1 ? 'one is enough' : (bound as keyof typeof counts) };
}

/** Two at least: one of them may fail. */
function redisNodesFor(
  at: { users: number; requests: number; lookups: number },
  load: Load,
  measured: Measured,
  hardware: Hardware,
): number {
  const toRedis = at.lookups * (1 - measured.l1HitShare.value);
  const busy =
    (at.requests * measured.redisMicrosecondsPerCheck.value +
      toRedis * hardware.redisMicrosecondsPerRead) /
    1e6;
  const bytes = at.users * load.cachedBytesPerUser;
  const masters = Math.ceil(
    Math.max(busy / hardware.utilisation, bytes / (hardware.redisBytes * hardware.utilisation)),
  );
  return 2 * Math.max(1, masters);
}
