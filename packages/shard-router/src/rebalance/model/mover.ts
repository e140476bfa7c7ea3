/**
 * What movers and operators do in the model: begin a move, take its next step, die with a command on its way, take
 * over, ask for an abort or a rollback. All decisions are the product's own reducers.
 */

import { openJournal, takeOver } from '../journal.js';
import {
  isEndState,
  isHeldIn,
  type MoveRole,
  type MoveState,
  mayAbort,
  withdrawalFrom,
} from '../move-state.js';
import type { MoveFacts } from '../next-step.js';
import type { ShardEffect } from '../shard-record.js';
import { withoutStream } from '../stream-step.js';
import type { CutOverRules } from './rules.js';
import {
  barrierOf,
  type CutOverBounds,
  type CutOverState,
  indexOf,
  otherShard,
  SHARDS,
  type ShardIndex,
  type Visit,
  withShard,
} from './state.js';
import { onTheWay, shardOf, streamed, withoutSubscription, withReverse } from './streams.js';

/** States that touch no shard; a move goes through them as one step of the model. */
const QUIET: ReadonlySet<MoveState> = new Set(['planned', 'preflight', 'prepared']);

export function moverActions(
  rules: CutOverRules,
  bounds: CutOverBounds,
  state: CutOverState,
  visit: Visit,
): void {
  if (isEndState(state.journal.state)) {
    if (state.movesLeft > 0) visit('a move begins', beginMove(rules, state));
  } else {
    for (const wish of wishes(bounds, state)) takeStep(rules, state, wish, visit);
    takeOverActions(state, visit);
  }
  zombieActions(rules, state, visit);
  if (rules.timerUnfences) timerActions(state, visit);
}

function wishes(bounds: CutOverBounds, world: CutOverState): readonly MoveFacts['wish'][] {
  const { state } = world.journal;
  if (state === 'reversing') {
    const hasWayBack = !world.shards[shardOf(world, 'source')].isLost;
    return bounds.canRollBack === false || !hasWayBack ? ['finish'] : ['finish', 'roll-back'];
  }
  const wishes: MoveFacts['wish'][] = [undefined];
  if (mayAbort(state) && bounds.canAbort !== false) wishes.push('abort');
  if (bounds.canWithdraw === true && withdrawalFrom(state) !== undefined) wishes.push('withdraw');
  return wishes;
}

/** From whoever owns the slot now to the other shard: a second move is the way back if the first was made. */
function beginMove(rules: CutOverRules, state: CutOverState): CutOverState {
  const { owner, epoch } = state.catalog;
  let next: CutOverState = {
    ...state,
    movesLeft: state.movesLeft - 1,
    journal: openJournal(
      { source: SHARDS[owner], destination: SHARDS[otherShard(owner)], epoch },
      { generation: newGeneration(state), holder: 'mover' },
    ),
  };
  while (QUIET.has(next.journal.state)) {
    const command = rules.nextStep(next.journal, factsOf(next, undefined));
    if (command.kind !== 'advance') throw new Error(`${next.journal.state} is not quiet`);
    next = advanceTo(rules, next, command.to);
  }
  return next;
}

function takeStep(
  rules: CutOverRules,
  state: CutOverState,
  wish: MoveFacts['wish'],
  visit: Visit,
): void {
  const { journal } = state;
  const idle = rules.leftIdle(journal.state, idleOn(state, 'source'), idleOn(state, 'destination'));
  if (idle !== undefined) {
    const on = shardOf(state, idle);
    visit(`what stands idle on ${SHARDS[on]} is taken off`, withoutSubscription(state, on));
    return;
  }
  const command = rules.nextStep(journal, factsOf(state, wish));
  if (command.kind === 'advance') {
    const reverse = command.to === 'fencing' ? withReverse(rules, state) : undefined;
    if (reverse !== undefined) visit('the reverse stream is made ready', reverse);
    else visit(`journal: ${command.to}`, advanceTo(rules, state, command.to));
  }
  if (command.kind !== 'effect') return;
  const on = shardOf(state, command.on);
  if (command.effect.kind === 'create-inbound') {
    const prepared = onTheWay(rules, state, on, command.effect, visit);
    if (prepared) return;
  }
  const label = `${command.effect.kind} on ${SHARDS[on]}`;
  const next = withEffect(rules, state, on, command.effect, journal.generation);
  if (next !== undefined && next !== 'refused') visit(label, next);
  if (state.zombiesLeft > 0) {
    const zombie = { on, effect: command.effect, generation: journal.generation };
    visit(`on its way for long: ${label}`, {
      ...state,
      zombie,
      zombiesLeft: state.zombiesLeft - 1,
    });
  }
}

function idleOn(state: CutOverState, role: MoveRole): { readonly hasIdleInbound: boolean } {
  return { hasIdleInbound: state.shards[shardOf(state, role)].isIdle };
}

/** Once after each command that is on its way: another takeover would change nothing but the number. */
function takeOverActions(state: CutOverState, visit: Visit): void {
  const { journal, zombie } = state;
  if (zombie === undefined || zombie.generation !== journal.generation) return;
  const change = takeOver(journal, journal, 'mover', newGeneration(state));
  if (change.outcome === 'changed') {
    visit('another mover takes over', { ...state, journal: change.journal });
  }
}

function zombieActions(rules: CutOverRules, state: CutOverState, visit: Visit): void {
  const { zombie } = state;
  if (zombie === undefined) return;
  const { on, effect, generation } = zombie;
  const next = withEffect(rules, state, on, effect, generation);
  // One that waits for a lock goes on waiting; it is judged when it has it.
  if (next === undefined) return;
  const label = `late: ${effect.kind} on ${SHARDS[on]}`;
  if (next === 'refused') visit(`${label}, refused`, { ...state, zombie: undefined });
  else visit(label, { ...next, zombie: undefined });
}

function timerActions(state: CutOverState, visit: Visit): void {
  for (const at of [0, 1] as const) {
    const shard = state.shards[at];
    if (!shard.record.isFenced) continue;
    const record = { ...shard.record, isFenced: false };
    visit(`a timer unfences ${SHARDS[at]}`, withShard(state, at, { ...shard, record }));
  }
}

function newGeneration({ journal, shards, zombie }: CutOverState): number {
  return (
    Math.max(
      journal.generation,
      shards[0].record.generation,
      shards[1].record.generation,
      zombie?.generation ?? 0,
    ) + 1
  );
}

function factsOf(state: CutOverState, wish: MoveFacts['wish']): MoveFacts {
  const { revision } = state.catalog;
  let unacknowledged = 0;
  for (const router of state.routers) {
    if (router.isLeasedInCatalog && router.acknowledged < revision) unacknowledged += 1;
  }
  const destination = state.shards[shardOf(state, 'destination')];
  const isFilling = state.journal.state === 'copying' || state.journal.state === 'catching_up';
  const isLost = isFilling && destination.record.hasInbound && destination.isLost;
  return {
    source: state.shards[shardOf(state, 'source')].record,
    destination: isLost ? withoutStream(destination.record) : destination.record,
    unacknowledged,
    isCopied: true,
    isCaughtUp: true,
    wish,
  };
}

/** A change of the journal, with what it does to the catalog in the same transaction. */
function advanceTo(rules: CutOverRules, state: CutOverState, to: MoveState): CutOverState {
  const change = rules.advance(state.journal, state.journal, to, newGeneration(state));
  if (change.outcome === 'refused') throw new Error(`to ${to}: ${change.reason}`);
  const { catalog } = state;
  const { journal } = change;
  const news = { ...catalog, revision: catalog.revision + 1 };
  switch (change.catalog) {
    case 'hold':
      return {
        ...state,
        journal,
        catalog: { ...news, isHeld: true },
      };
    case 'switch':
      return {
        ...state,
        journal,
        catalog: { ...news, owner: otherShard(catalog.owner), epoch: journal.epoch },
      };
    case 'release':
      return { ...state, journal, catalog: catalog.isHeld ? { ...news, isHeld: false } : catalog };
    case undefined:
      return { ...state, journal };
  }
}

/** What an effect does to a shard, its rows and the streams; undefined while it waits for open writes. */
function withEffect(
  rules: CutOverRules,
  state: CutOverState,
  on: ShardIndex,
  effect: ShardEffect,
  generation: number,
): CutOverState | 'refused' | undefined {
  const shard = state.shards[on];
  const outcome = rules.applyEffect(shard.record, effect, generation, {
    openWrites: openWrites(state, on),
  });
  if (outcome.outcome === 'blocked') return undefined;
  if (outcome.outcome === 'refused') return 'refused';
  const { record } = outcome;
  const next = withShard(state, on, { ...shard, record });
  switch (effect.kind) {
    case 'create-inbound': {
      // It goes on where it stood, and one that was lost brings nothing still.
      if (shard.record.hasInbound || shard.isIdle) {
        return withShard(state, on, { ...shard, record, isIdle: false });
      }
      const copied = state.shards[otherShard(on)].value;
      const inbound = effect.copies && copied !== 0 ? [copied] : [];
      return withShard(next, on, { ...shard, record, inbound });
    }
    case 'drop-inbound': {
      if (rules.streamsOverlap && isHeldIn(state.journal.state)) {
        const isIdle = shard.isIdle || shard.record.hasInbound;
        return withShard(next, on, { ...shard, record, isIdle });
      }
      return withShard(next, on, { ...shard, record, inbound: [], isIdle: false, isLost: false });
    }
    case 'fence':
      return streamed(next, on, barrierOf(generation));
    case 'clean':
      if (shard.value === 0) return next;
      return streamed(withShard(next, on, { ...shard, record, value: 0 }), on, 0);
    default:
      return next;
  }
}

function openWrites(state: CutOverState, on: ShardIndex): number {
  let open = on === 0 && state.foreign.isWriting ? 1 : 0;
  for (const { call } of state.routers) {
    if (call?.kind === 'write' && call.isRunning && indexOf(call.target) === on) open += 1;
  }
  return open;
}
