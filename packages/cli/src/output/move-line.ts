/** One move on one line, with what it waits for and why (pure). */

import type { MoveStatus } from '@shardline/shard-router/rebalance';
import type { Style } from './style.js';
import { formatBytes, formatPercent, formatRate, formatSpan, plural } from './units.js';

/** States in which nothing follows any more. */
const OVER: ReadonlySet<string> = new Set(['done', 'aborted', 'rolled_back']);

/** Whether nothing follows any more. */
export function isOver({ state }: Pick<MoveStatus, 'state'>): boolean {
  return OVER.has(state);
}

/** Whether the slots have changed their owner for good, as far as the move can tell. */
export function hasSwitched({ state }: Pick<MoveStatus, 'state'>): boolean {
  return state === 'reversing' || state === 'cleaning' || state === 'done';
}

/** Short enough to type; handles may be shortened as long as they stay unique. */
export function shortId(id: string): string {
  return id.length > 12 ? id.slice(0, 8) : id;
}

/** The state as people are shown it: a rollback is one thing to those who wait for it. */
export function shownState({ state }: Pick<MoveStatus, 'state'>): string {
  return (state.startsWith('rollback_') ? 'rolling back' : state).replaceAll('_', ' ');
}

/** Who goes where: `users a → b, 512 slots`. */
export function routeOf({ keyspace, source, destination, slots }: MoveStatus): string {
  return `${keyspace} ${source} → ${destination}, ${plural(slots.length, 'slot')}`;
}

/** How far the copy is, between 0 and 1; undefined where nothing is copied. Never above one. */
export function copiedShare({ progress, state }: MoveStatus): number | undefined {
  if (isOver({ state }) || hasSwitched({ state })) return undefined;
  if (progress.totalBytes <= 0) return undefined;
  return Math.min(1, Math.max(0, progress.copiedBytes / progress.totalBytes));
}

/** Everything that is going on with a move, densely; where it goes can be left out. */
export function moveLine(
  move: MoveStatus,
  bytesPerSecond: number | undefined,
  style: Style,
  withRoute = true,
): string {
  const facts = [...progressFacts(move, bytesPerSecond), ...outcomeFacts(move)];
  const why = whyWaiting(move);
  const parts = [
    style.bold(shortId(move.id)),
    ...(withRoute ? [routeOf(move)] : []),
    stateText(move, style),
    ...facts,
    ...(why === undefined ? [] : [style.yellow(why)]),
    ...(move.lastError === undefined || isOver(move)
      ? []
      : [style.red(`error: ${move.lastError}`)]),
  ];
  return parts.join(' · ');
}

/** What a move waits for, or what an operator has asked of it; undefined where it simply works. */
export function whyWaiting(move: MoveStatus): string | undefined {
  if (isOver(move)) return undefined;
  if (move.steering.isPaused) return 'paused by an operator';
  if (move.waitingFor !== undefined) return `waiting: ${move.waitingFor.replace(/\.$/, '')}`;
  if (move.holder === undefined && move.state !== 'planned') return 'nobody runs it';
  return undefined;
}

function stateText(move: MoveStatus, style: Style): string {
  const text = shownState(move);
  if (move.state === 'done') return style.green(text);
  if (move.state === 'aborted' || move.state === 'rolled_back') return style.yellow(text);
  return style.cyan(text);
}

function progressFacts(move: MoveStatus, bytesPerSecond: number | undefined): string[] {
  const { progress, steering, slotBytes } = move;
  const facts: string[] = [];
  if (move.state === 'copying') {
    const about = progress.isEstimated ? '~' : '';
    facts.push(
      `${formatPercent(progress.copiedBytes, progress.totalBytes)} of ${about}${formatBytes(progress.totalBytes)}`,
    );
    if (bytesPerSecond !== undefined) facts.push(formatRate(bytesPerSecond));
    if (progress.secondsLeft !== undefined) {
      facts.push(`${about}${formatSpan(progress.secondsLeft * 1000)} left`);
    }
  }
  if (isOver(move)) return facts;
  if (progress.lagBytes !== undefined) facts.push(`${formatBytes(progress.lagBytes)} behind`);
  if (slotBytes !== undefined) facts.push(`slot ${formatBytes(slotBytes)}`);
  if (steering.bytesPerSecond !== undefined) {
    facts.push(`throttled to ${formatRate(steering.bytesPerSecond)}`);
  }
  if (steering.isCutOverHeld) facts.push('switch on hold');
  return facts;
}

function outcomeFacts(move: MoveStatus): string[] {
  return move.pauseMs === undefined ? [] : [`paused callers for ${formatSpan(move.pauseMs)}`];
}
