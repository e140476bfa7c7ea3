/**
 * States of the model as a few 32-bit words, in a canonical form.
 *
 * Of generations, epochs and versions only the order matters, so each is replaced by its rank among those that are
 * still known somewhere. Of revisions only "the newest" or "an older one" matters. Routers are alike, so their words
 * are sorted. What can have no effect any more is left out: barriers of older generations, a command that
 * its shard would refuse for ever, a router without anything left to do.
 */

import type { Lease } from '../../topology/lease.js';
import { MOVE_STATES } from '../move-state.js';
import type { ShardEffect, ShardRecord } from '../shard-record.js';
import { FieldReader, Fields, Ranks } from './bit-fields.js';
import { type CutOverRules, RULES } from './rules.js';
import {
  barrierOf,
  type CutOverState,
  generationOf,
  indexOf,
  isDone,
  MOMENT,
  type ModelCall,
  type ModelCatalog,
  type ModelRouter,
  type ModelShard,
  otherShard,
  SHARDS,
  type ShardIndex,
  type Zombie,
} from './state.js';

/** Words of a state: four, and one for each router. */
export function wordsPerState(routers: number): number {
  return 4 + routers;
}

/** In a packed stream: a barrier of the present generation. Versions are below. */
const PACKED_BARRIER = 7;
const BITS_PER_STREAMED = 3;
const MOST_STREAMED = 9;

const STATE_NUMBER = new Map(MOVE_STATES.map((state, number) => [state, number]));
const EFFECTS: readonly ((epoch: number) => ShardEffect)[] = [
  () => ({ kind: 'create-inbound', copies: true }),
  () => ({ kind: 'create-inbound', copies: false }),
  () => ({ kind: 'drop-inbound' }),
  () => ({ kind: 'fence' }),
  () => ({ kind: 'unfence' }),
  (epoch) => ({ kind: 'relinquish', epoch }),
  (epoch) => ({ kind: 'open', epoch }),
  () => ({ kind: 'clean' }),
];
const EFFECT_NUMBER = new Map(
  EFFECTS.map((effect, number) => [effectName(effect(0)), number + 1] as const),
);

function effectName(effect: ShardEffect): string {
  return effect.kind === 'create-inbound' && effect.copies ? 'copy' : effect.kind;
}

interface AllRanks {
  readonly generations: Ranks;
  readonly epochs: Ranks;
  readonly versions: Ranks;
}

export function packState(rules: CutOverRules, state: CutOverState, into: Uint32Array): void {
  const zombie = liveZombie(rules, state);
  const ranks = rank(state, zombie);
  const { journal, catalog, shards } = state;
  const head = new Fields()
    .put(STATE_NUMBER.get(journal.state) as number, 5)
    .put(indexOf(journal.source), 1)
    .put(catalog.owner, 1)
    .put(ranks.epochs.of(catalog.epoch), 3)
    .flag(catalog.isHeld)
    .put(state.movesLeft, 2)
    .put(state.zombiesLeft, 1)
    .put(ranks.versions.of(state.floor), 3)
    .flag(state.foreign.isWriting)
    .put(state.foreign.left, 2)
    .flag(state.fault !== undefined)
    .put(state.lossesLeft, 1);
  packZombie(head, ranks, zombie);
  into[0] = head.word;
  const body = new Fields().put(ranks.generations.of(journal.generation), 2);
  for (const shard of shards) packShard(body, ranks, shard, journal.generation);
  into[1] = body.word;
  into[2] = packStream(ranks, shards[0], journal.generation);
  into[3] = packStream(ranks, shards[1], journal.generation);
  state.routers.forEach((router, at) => {
    into[4 + at] = packRouter(rules, ranks, router, catalog.revision);
  });
  sortWords(into, 4);
}

function sortWords(words: Uint32Array, start: number): void {
  for (let at = start + 1; at < words.length; at += 1) {
    const word = words[at] as number;
    let place = at;
    for (; place > start && (words[place - 1] as number) > word; place -= 1) {
      words[place] = words[place - 1] as number;
    }
    words[place] = word;
  }
}

/** A shard's generation never falls, so what is refused for its generation once is refused for ever. */
function liveZombie(rules: CutOverRules, { zombie, shards }: CutOverState): Zombie | undefined {
  if (zombie === undefined) return undefined;
  const { record } = shards[zombie.on];
  const outcome = rules.applyEffect(record, zombie.effect, zombie.generation, { openWrites: 0 });
  const isSpent = outcome.outcome === 'refused' && outcome.reason === 'older-generation';
  return isSpent ? undefined : zombie;
}

function rank(state: CutOverState, zombie: Zombie | undefined): AllRanks {
  const [a, b] = state.shards;
  const generations = new Ranks(state.journal.generation, a.record.generation, b.record.generation);
  const epochs = new Ranks(state.catalog.epoch, a.record.epoch, b.record.epoch);
  const versions = new Ranks(0, a.value, b.value, state.floor);
  if (zombie !== undefined) {
    generations.add(zombie.generation);
    if ('epoch' in zombie.effect) epochs.add(zombie.effect.epoch);
  }
  for (const { inbound } of state.shards) {
    for (const streamed of inbound) {
      if (generationOf(streamed) === undefined) versions.add(streamed);
    }
  }
  for (const router of state.routers) {
    const { view, call } = router;
    if (isDone(router)) continue;
    epochs.add(view.epoch);
    if (call?.kind !== 'read') continue;
    epochs.add(call.epoch);
    versions.add(call.floor);
    if (call.isRunning) versions.add(call.value);
  }
  return { generations, epochs, versions };
}

function packZombie(fields: Fields, ranks: AllRanks, zombie: Zombie | undefined): void {
  if (zombie === undefined) return;
  fields
    .put(EFFECT_NUMBER.get(effectName(zombie.effect)) as number, 4)
    .put(zombie.on, 1)
    .put('epoch' in zombie.effect ? ranks.epochs.of(zombie.effect.epoch) : 0, 3)
    .put(ranks.generations.of(zombie.generation), 2);
}

function packShard(fields: Fields, ranks: AllRanks, shard: ModelShard, generation: number): void {
  const { record } = shard;
  fields
    .flag(record.isOwner)
    .flag(record.isFenced)
    .flag(record.hasInbound)
    .flag(record.hasForeignRows)
    .flag(record.barrierWritten === generation)
    .flag(record.barrierSeen === generation)
    .put(ranks.generations.of(record.generation), 2)
    .put(ranks.epochs.of(record.epoch), 3)
    .put(ranks.versions.of(shard.value), 3)
    .flag(shard.isIdle);
}

function packStream(ranks: AllRanks, shard: ModelShard, generation: number): number {
  const known = shard.inbound.filter((streamed) => {
    const barrier = generationOf(streamed);
    return barrier === undefined || barrier === generation;
  });
  if (known.length > MOST_STREAMED) throw new RangeError('a stream is too long to be packed');
  const fields = new Fields().flag(shard.isLost).put(known.length, 4);
  for (const streamed of known) {
    const isBarrier = generationOf(streamed) !== undefined;
    fields.put(isBarrier ? PACKED_BARRIER : ranks.versions.of(streamed), BITS_PER_STREAMED);
  }
  return fields.word;
}

function packRouter(
  rules: CutOverRules,
  ranks: AllRanks,
  router: ModelRouter,
  newest: number,
): number {
  if (isDone(router)) return 0;
  const { view, lease, call } = router;
  // Without a read, present or to come, a lease of its own is of no use; that it may have ended is always possible.
  const usesLease = router.readsLeft > 0;
  const fields = new Fields()
    .put(indexOf(view.owner), 1)
    .put(ranks.epochs.of(view.epoch), 3)
    .flag(view.isHeld)
    .flag(view.revision === newest)
    .flag(router.acknowledged === newest)
    .flag(usesLease && lease.revision === newest)
    .flag(usesLease && lease.endsAtMs > MOMENT.now)
    .flag(router.isLeasedInCatalog)
    .put(router.readsLeft, 2)
    .put(router.writesLeft, 2);
  if (call === undefined) return fields.word;
  fields
    .put(call.kind === 'read' ? 1 : 2, 2)
    .flag(call.isRunning)
    .put(indexOf(call.target), 1)
    .flag(call.revision < view.revision);
  if (call.kind === 'write') return fields.word;
  return fields
    .put(ranks.epochs.of(call.epoch), 3)
    .flag(isCoverable(rules, call, lease, newest))
    .put(ranks.versions.of(call.floor), 3)
    .put(call.isRunning ? ranks.versions.of(call.value) : 0, 3)
    .flag(call.isVerified).word;
}

/** Whether a lease covers a call, or could again: one that ended under an older revision is never taken up. */
function isCoverable(rules: CutOverRules, call: ModelCall, lease: Lease, newest: number): boolean {
  if (call.routedAtMs < lease.sinceMs) return false;
  // A mutant may take it up, and must be let.
  if (rules.judgeRead !== RULES.judgeRead || rules.renewedLease !== RULES.renewedLease) return true;
  return lease.endsAtMs > MOMENT.now || lease.revision === newest;
}

/** The newest revision of an unpacked state; an older one is one less. */
const NEWEST = 2;

export function unpackState(from: Uint32Array, start: number, routers: number): CutOverState {
  const head = new FieldReader(from[start] as number);
  const stateNumber = head.take(5);
  const source = head.take(1) as ShardIndex;
  const catalog: ModelCatalog = {
    revision: NEWEST,
    owner: head.take(1) as ShardIndex,
    epoch: head.take(3),
    isHeld: head.flag(),
  };
  const movesLeft = head.take(2);
  const zombiesLeft = head.take(1);
  const floor = head.take(3);
  const foreign = { isWriting: head.flag(), left: head.take(2) };
  const fault = head.flag() ? 'something went wrong before' : undefined;
  const lossesLeft = head.take(1);
  const zombie = unpackZombie(head);
  const body = new FieldReader(from[start + 1] as number);
  const generation = takeGeneration(body);
  const streams = [from[start + 2] as number, from[start + 3] as number];
  const shards = streams.map((stream) => unpackShard(body, stream, generation));
  return {
    journal: {
      source: SHARDS[source],
      destination: SHARDS[otherShard(source)],
      state: MOVE_STATES[stateNumber] as (typeof MOVE_STATES)[number],
      generation,
      holder: 'mover',
      epoch: catalog.epoch,
    },
    catalog,
    shards: shards as [ModelShard, ModelShard],
    routers: Array.from({ length: routers }, (_, at) =>
      unpackRouter(from[start + 4 + at] as number),
    ),
    foreign,
    zombie,
    zombiesLeft,
    movesLeft,
    lossesLeft,
    floor,
    fault,
  };
}

/** From one on, since zero means that there is none. */
function takeGeneration(fields: FieldReader): number {
  return fields.take(2) + 1;
}

function unpackZombie(head: FieldReader): Zombie | undefined {
  const number = head.take(4);
  if (number === 0) return undefined;
  const on = head.take(1) as ShardIndex;
  const effect = (EFFECTS[number - 1] as (epoch: number) => ShardEffect)(head.take(3));
  return { on, effect, generation: takeGeneration(head) };
}

function unpackShard(body: FieldReader, stream: number, generation: number): ModelShard {
  const isOwner = body.flag();
  const isFenced = body.flag();
  const hasInbound = body.flag();
  const hasForeignRows = body.flag();
  const barrierWritten = body.flag() ? generation : 0;
  const barrierSeen = body.flag() ? generation : 0;
  const record: ShardRecord = {
    isOwner,
    isFenced,
    hasInbound,
    hasForeignRows,
    barrierWritten,
    barrierSeen,
    generation: takeGeneration(body),
    epoch: body.take(3),
  };
  const value = body.take(3);
  const isIdle = body.flag();
  const reader = new FieldReader(stream);
  const isLost = reader.flag();
  const inbound = Array.from({ length: reader.take(4) }, () => {
    const streamed = reader.take(BITS_PER_STREAMED);
    return streamed === PACKED_BARRIER ? barrierOf(generation) : streamed;
  });
  return { record, value, inbound, isIdle, isLost };
}

function unpackRouter(word: number): ModelRouter {
  const fields = new FieldReader(word);
  const owner = SHARDS[fields.take(1) as ShardIndex];
  const epoch = fields.take(3);
  const isHeld = fields.flag();
  const revision = fields.flag() ? NEWEST : NEWEST - 1;
  const acknowledged = fields.flag() ? NEWEST : NEWEST - 1;
  const leaseRevision = fields.flag() ? NEWEST : NEWEST - 1;
  const endsAtMs = fields.flag() ? MOMENT.leaseEnd : 0;
  const isLeasedInCatalog = fields.flag();
  const readsLeft = fields.take(2);
  const writesLeft = fields.take(2);
  return {
    view: { revision, owner, epoch, isHeld },
    acknowledged,
    lease: { sinceMs: MOMENT.leaseSince, endsAtMs, revision: leaseRevision },
    isLeasedInCatalog,
    call: unpackCall(fields, revision),
    readsLeft,
    writesLeft,
  };
}

function unpackCall(fields: FieldReader, viewRevision: number): ModelCall | undefined {
  const kind = fields.take(2);
  if (kind === 0) return undefined;
  const isRunning = fields.flag();
  const target = SHARDS[fields.take(1) as ShardIndex];
  const revision = fields.flag() ? viewRevision - 1 : viewRevision;
  return {
    kind: kind === 1 ? 'read' : 'write',
    isRunning,
    target,
    revision,
    epoch: fields.take(3),
    routedAtMs: fields.flag() ? MOMENT.covered : MOMENT.uncovered,
    floor: fields.take(3),
    value: fields.take(3),
    isVerified: fields.flag(),
  };
}
