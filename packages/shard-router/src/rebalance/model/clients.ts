/**
 * What everybody else does in the model: routers that renew, lag behind, lose their leases and are frozen at any
 * point; a client that writes straight to a shard; streams that apply what they bring.
 *
 * A frozen process needs no action of its own: each call takes several steps, and anything may happen between two.
 */

import { seeBarrier } from '../shard-record.js';
import type { CutOverRules } from './rules.js';
import {
  type CutOverState,
  generationOf,
  indexOf,
  isDone,
  MOMENT,
  type ModelCall,
  type ModelRouter,
  SHARDS,
  type ShardIndex,
  type Visit,
  withShard,
} from './state.js';
import { streamed } from './streams.js';

const LEASE_MS = 1000;

export function clientActions(rules: CutOverRules, state: CutOverState, visit: Visit): void {
  state.routers.forEach((router, at) => {
    if (isDone(router)) return;
    leaseActions(rules, state, router, at, visit);
    if (router.call === undefined) routeActions(rules, state, router, at, visit);
    else if (router.call.kind === 'read') readActions(rules, state, router, router.call, at, visit);
    else writeActions(rules, state, router, router.call, at, visit);
  });
  foreignActions(rules, state, visit);
  for (const at of [0, 1] as const) {
    streamActions(rules, state, at, visit);
    lossActions(state, at, visit);
  }
}

function withRouter(state: CutOverState, at: number, router: ModelRouter): CutOverState {
  const routers = state.routers.slice();
  routers[at] = router;
  return { ...state, routers };
}

function leaseActions(
  rules: CutOverRules,
  state: CutOverState,
  router: ModelRouter,
  at: number,
  visit: Visit,
): void {
  const { catalog } = state;
  const { lease } = router;
  const isLeased = lease.endsAtMs > MOMENT.now;
  if (router.view.revision !== catalog.revision) {
    const { revision, epoch, isHeld } = catalog;
    const view = { revision, epoch, isHeld, owner: SHARDS[catalog.owner] };
    visit(`router ${at} applies the newest revision`, withRouter(state, at, { ...router, view }));
  }
  visit(`router ${at} renews`, withRouter(state, at, renewed(rules, state, router)));
  if (isLeased) {
    const ended = { ...lease, endsAtMs: 0 };
    visit(`router ${at}: lease ends`, withRouter(state, at, { ...router, lease: ended }));
  }
  if (router.isLeasedInCatalog && !(isLeased && rules.ownLeaseEndsFirst)) {
    visit(
      `router ${at}: lease ends for the catalog`,
      withRouter(state, at, { ...router, isLeasedInCatalog: false }),
    );
  }
}

function renewed(rules: CutOverRules, state: CutOverState, router: ModelRouter): ModelRouter {
  const inFlight = router.call === undefined ? [] : [router.call];
  const acknowledged = rules.acknowledgement(router.view, router.acknowledged, inFlight);
  const lease = rules.renewedLease(router.lease, {
    sentAtMs: MOMENT.now,
    leaseMs: LEASE_MS,
    acknowledged,
    newest: state.catalog.revision,
  });
  return { ...router, acknowledged, lease, isLeasedInCatalog: true };
}

function routeActions(
  rules: CutOverRules,
  state: CutOverState,
  router: ModelRouter,
  at: number,
  visit: Visit,
): void {
  for (const kind of ['read', 'write'] as const) {
    if ((kind === 'read' ? router.readsLeft : router.writesLeft) === 0) continue;
    const routed = rules.routeCall(router.view, MOMENT.now, kind);
    if (routed === undefined) continue;
    const floor = kind === 'read' ? state.floor : 0;
    const call = { ...routed, kind, floor, value: 0, isRunning: false, isVerified: false };
    visit(
      `router ${at} routes a ${kind} to ${routed.target}`,
      withRouter(state, at, { ...router, call }),
    );
  }
}

function readActions(
  rules: CutOverRules,
  state: CutOverState,
  router: ModelRouter,
  call: ModelCall,
  at: number,
  visit: Visit,
): void {
  const shard = state.shards[indexOf(call.target)];
  const becomes = (next: ModelCall | undefined) => withRouter(state, at, { ...router, call: next });
  const isCovered = rules.judgeRead(call, router.lease, MOMENT.now) === 'serve';
  if (!call.isRunning) {
    if (!rules.verifiesAfterReading && !call.isVerified && !isCovered) {
      const passes = rules.isVerified(call, shard.record);
      visit(`router ${at} verifies`, becomes(passes ? { ...call, isVerified: true } : undefined));
      return;
    }
    visit(
      `router ${at} reads version ${shard.value} on ${call.target}`,
      becomes({ ...call, isRunning: true, value: shard.value }),
    );
    return;
  }
  if (isCovered || call.isVerified) {
    visit(`router ${at} answers under its lease`, answered(state, router, call, at));
  } else if (rules.isVerified(call, shard.record)) {
    visit(`router ${at} verifies and answers`, answered(state, router, call, at));
  } else {
    visit(`router ${at} verifies: moved`, becomes(undefined));
  }
}

function answered(
  state: CutOverState,
  router: ModelRouter,
  call: ModelCall,
  at: number,
): CutOverState {
  const next = withRouter(state, at, {
    ...router,
    call: undefined,
    readsLeft: router.readsLeft - 1,
  });
  if (call.value < call.floor) {
    return {
      ...next,
      fault: `a read showed version ${call.value}; ${call.floor} was known when it began`,
    };
  }
  return { ...next, floor: Math.max(state.floor, call.value) };
}

function writeActions(
  rules: CutOverRules,
  state: CutOverState,
  router: ModelRouter,
  call: ModelCall,
  at: number,
  visit: Visit,
): void {
  const target = indexOf(call.target);
  if (call.isRunning) {
    const idle = { ...router, call: undefined, writesLeft: router.writesLeft - 1 };
    const [version, next] = written(withRouter(state, at, idle), target);
    visit(`router ${at} commits version ${version} on ${call.target}`, next);
    return;
  }
  const passes = rules.acceptsWrites(state.shards[target].record);
  visit(
    `router ${at}: the guard of ${call.target} ${passes ? 'lets its write in' : 'refuses'}`,
    withRouter(state, at, { ...router, call: passes ? { ...call, isRunning: true } : undefined }),
  );
}

function foreignActions(rules: CutOverRules, state: CutOverState, visit: Visit): void {
  const { isWriting, left } = state.foreign;
  if (isWriting) {
    const [version, next] = written({ ...state, foreign: { isWriting: false, left } }, 0);
    visit(`the foreign client commits version ${version} on a`, next);
  } else if (left > 0 && rules.acceptsWrites(state.shards[0].record)) {
    const foreign = { isWriting: true, left: left - 1 };
    visit('the guard of a lets a foreign write in', { ...state, foreign });
  }
}

/** A write is there, acknowledged, and on its way through the stream. */
function written(state: CutOverState, on: ShardIndex): [number, CutOverState] {
  const version = newestVersion(state) + 1;
  const shard = { ...state.shards[on], value: version };
  return [version, { ...streamed(withShard(state, on, shard), on, version), floor: version }];
}

/** The newest version that is still known anywhere; all others have no more effect. */
function newestVersion(state: CutOverState): number {
  let newest = state.floor;
  for (const { value, inbound } of state.shards) {
    newest = Math.max(newest, value);
    for (const item of inbound) {
      if (generationOf(item) === undefined) newest = Math.max(newest, item);
    }
  }
  for (const { call } of state.routers)
    newest = Math.max(newest, call?.floor ?? 0, call?.value ?? 0);
  return newest;
}

/** What is applied is passed on by a stream the other way, unless streams leave out what another one has brought. */
function streamActions(
  rules: CutOverRules,
  state: CutOverState,
  at: ShardIndex,
  visit: Visit,
): void {
  const shard = state.shards[at];
  const [what, ...rest] = shard.inbound;
  if (what === undefined) return;
  const barrier = generationOf(what);
  if (barrier !== undefined) {
    const record = shard.record.hasInbound ? seeBarrier(shard.record, barrier) : shard.record;
    visit(
      `the barrier arrives on ${SHARDS[at]}`,
      withShard(state, at, { ...shard, record, inbound: rest }),
    );
    return;
  }
  const applied = withShard(state, at, { ...shard, value: what, inbound: rest });
  const next = rules.streamsOverlap ? applied : streamed(applied, at, what);
  visit(`the stream brings version ${what} to ${SHARDS[at]}`, next);
}

/** A failover forgets the slot, or it held too much back: what is not on the other shard yet will never be there. */
function lossActions(state: CutOverState, at: ShardIndex, visit: Visit): void {
  const shard = state.shards[at];
  if (state.lossesLeft === 0 || shard.isLost || !(shard.record.hasInbound || shard.isIdle)) return;
  const lost = withShard(state, at, { ...shard, inbound: [], isLost: true });
  visit(`the slot that feeds ${SHARDS[at]} is lost`, { ...lost, lossesLeft: state.lossesLeft - 1 });
}
