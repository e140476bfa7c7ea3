import type { Scenario } from './scenario.js';
import { coldKey } from './suites/cache/cold-key.js';
import { hitRate } from './suites/cache/hit-rate.js';
import { l1Hit } from './suites/cache/l1-hit.js';
import { l2Hit } from './suites/cache/l2-hit.js';
import { entityGet } from './suites/layer/entity-get.js';
import { balance } from './suites/placement/balance.js';
import { addedCpu } from './suites/pool/added-cpu.js';
import { failover } from './suites/pool/failover.js';
import { pointRead } from './suites/pool/point-read.js';
import { sessionReads } from './suites/pool/session-reads.js';
import { slowReplica } from './suites/pool/slow-replica.js';
import { spike } from './suites/pool/spike.js';
import { checks } from './suites/ratelimit/checks.js';
import { footprint } from './suites/ratelimit/footprint.js';
import { leased } from './suites/ratelimit/leased.js';
import { copy } from './suites/rebalance/copy.js';
import { underLoad } from './suites/rebalance/under-load.js';
import { guardedInsert } from './suites/route/guarded-insert.js';
import { keyToShard } from './suites/route/key-to-shard.js';
import { cacheScaling } from './suites/scaling/cache.js';
import { poolScaling } from './suites/scaling/pool.js';
import { processScaling } from './suites/scaling/processes.js';
import { rebalanceScaling } from './suites/scaling/rebalance.js';
import { shardScaling } from './suites/scaling/shards.js';
import { orderedPage } from './suites/scatter/ordered-page.js';
import { leaseAndAcknowledge } from './suites/simulation/lease-and-acknowledge.js';
import { leasingFleet } from './suites/simulation/leasing-fleet.js';
import { thousandShards } from './suites/simulation/thousand-shards.js';
import { traces } from './suites/simulation/traces.js';

/** Every scenario, in the order in which the results are read. */
export const scenarios: readonly Scenario[] = [
  keyToShard,
  guardedInsert,
  balance,
  l1Hit,
  l2Hit,
  coldKey,
  hitRate,
  checks,
  footprint,
  leased,
  pointRead,
  addedCpu,
  spike,
  slowReplica,
  sessionReads,
  failover,
  orderedPage,
  copy,
  underLoad,
  entityGet,
  cacheScaling,
  poolScaling,
  processScaling,
  shardScaling,
  rebalanceScaling,
  thousandShards,
  leasingFleet,
  traces,
  leaseAndAcknowledge,
];
