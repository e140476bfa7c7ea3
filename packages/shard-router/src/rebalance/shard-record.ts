/**
 * What a shard keeps of a group of slots, and what may be done to it (pure).
 *
 * Two things in one: the *standing ownership record* (who owns the slots, since which epoch), which every write and
 * every verified read is checked against and which outlives all moves; and the *move record* (which objects of a
 * move are here, and the newest generation that was seen).
 *
 * Always holds:
 * 1. An effect of an older generation than the newest seen is refused, in the transaction that would do it. What
 *    undoes or drops is an effect too, even where there is nothing to undo: it advances the generation, so
 *    that what it undoes cannot come late.
 * 2. Whatever stops writes waits for open ones to end: a write that has passed the guard either commits before the
 *    fence or not at all. (It takes a lock on the tables that conflicts with writing.) Where no write can have passed the
 *    guard, behind a fence or on a shard that does not own the slots, there is nothing to wait for, and writers of
 *    other slots are not waited for either.
 * 3. An owner is never cleaned and never copied onto, whoever asks and at whichever generation.
 * 4. A barrier is written with the fence, in its transaction: behind every write that has passed the guard.
 * 5. Ownership never goes back to an older epoch.
 *
 * CREATE and DROP SUBSCRIPTION cannot stand in a transaction with a check. They run on the session that holds the
 * shard's advisory lock of the move; a takeover ends that session before it takes the lock. Seen from here
 * that is the same: checked and done in one step.
 */

/** A shard's record of one group of slots. */
export interface ShardRecord {
  /** Newest generation seen. */
  readonly generation: number;
  readonly isOwner: boolean;
  /** Since when, or since when not. */
  readonly epoch: number;
  readonly isFenced: boolean;
  /** Whether a subscription here brings rows from the other shard of the move. */
  readonly hasInbound: boolean;
  /** Whether rows may be here that do not count; written before the first one comes. */
  readonly hasForeignRows: boolean;
  /** Generation of the newest barrier that was written here, to be seen by the other shard; zero for none. */
  readonly barrierWritten: number;
  /** Generation of the newest barrier of the other shard that has arrived here; zero for none. */
  readonly barrierSeen: number;
}

/** Something that a mover does to a shard. */
export type ShardEffect =
  /** Rows of the slots come here from now on; with `copies`, those that are there already come first. */
  | { readonly kind: 'create-inbound'; readonly copies: boolean }
  | { readonly kind: 'drop-inbound' }
  /** With a barrier behind it, a row that takes the way of all rows: where it has arrived, everything before it has. */
  | { readonly kind: 'fence' }
  | { readonly kind: 'unfence' }
  /** Ends ownership, and the fence that stood for it until then. */
  | { readonly kind: 'relinquish'; readonly epoch: number }
  | { readonly kind: 'open'; readonly epoch: number }
  | { readonly kind: 'clean' };

/** What became of an effect. */
export type EffectOutcome =
  | { readonly outcome: 'applied'; readonly record: ShardRecord }
  /** Open writes must end first; nothing has changed. */
  | { readonly outcome: 'blocked' }
  | {
      readonly outcome: 'refused';
      readonly reason: 'older-generation' | 'older-epoch' | 'is-owner' | 'has-inbound';
    };

/** Whether a write to the slots is let in, whoever writes. */
export function acceptsWrites(record: ShardRecord): boolean {
  return record.isOwner && !record.isFenced;
}

/** Does something to a shard, or refuses it. */
export function applyEffect(
  record: ShardRecord,
  effect: ShardEffect,
  generation: number,
  facts: { readonly openWrites: number },
): EffectOutcome {
  if (generation < record.generation) return { outcome: 'refused', reason: 'older-generation' };
  const reason = refusalOf(record, effect);
  if (reason !== undefined) return { outcome: 'refused', reason };
  if (facts.openWrites > 0 && stopsWrites(record, effect)) return { outcome: 'blocked' };
  return {
    outcome: 'applied',
    record: { ...record, ...changeOf(record, effect, generation), generation },
  };
}

/** A barrier of the other shard has come through the stream. */
export function seeBarrier(record: ShardRecord, generation: number): ShardRecord {
  return { ...record, barrierSeen: Math.max(record.barrierSeen, generation) };
}

/** These take SHARE ROW EXCLUSIVE on the tables, which waits for open writes. */
function stopsWrites(record: ShardRecord, effect: ShardEffect): boolean {
  return effect.kind === 'fence' || (effect.kind === 'relinquish' && acceptsWrites(record));
}

function refusalOf(
  record: ShardRecord,
  effect: ShardEffect,
): (EffectOutcome & { outcome: 'refused' })['reason'] | undefined {
  switch (effect.kind) {
    case 'create-inbound':
      return effect.copies && record.isOwner ? 'is-owner' : undefined;
    case 'relinquish':
    case 'open':
      return effect.epoch < record.epoch ? 'older-epoch' : undefined;
    case 'clean':
      if (record.isOwner) return 'is-owner';
      return record.hasInbound ? 'has-inbound' : undefined;
    case 'drop-inbound':
    case 'fence':
    case 'unfence':
      return undefined;
  }
}

function changeOf(
  record: ShardRecord,
  effect: ShardEffect,
  generation: number,
): Partial<ShardRecord> {
  switch (effect.kind) {
    case 'create-inbound':
      return { hasInbound: true, hasForeignRows: record.hasForeignRows || effect.copies };
    case 'drop-inbound':
      return { hasInbound: false, barrierSeen: 0 };
    case 'fence':
      return { isFenced: true, barrierWritten: generation };
    case 'unfence':
      return { isFenced: false };
    case 'relinquish':
      return { isOwner: false, epoch: effect.epoch, isFenced: false, hasForeignRows: true };
    case 'open':
      return { isOwner: true, epoch: effect.epoch, hasForeignRows: false };
    case 'clean':
      return { hasForeignRows: false };
  }
}
