/**
 * The rules that the model runs on: the very functions that the product runs on.
 *
 * A mutant is a copy of these with one of them broken. A few rules are not functions of the product but properties
 * of time and of PostgreSQL; they stand here as plain switches.
 */

import { renewedLease } from '../../topology/lease.js';
import { leftIdle } from '../decide-action.js';
import { advance } from '../journal.js';
import { nextStep } from '../next-step.js';
import { acknowledgement, isVerified, judgeRead, routeCall } from '../router-lease.js';
import { acceptsWrites, applyEffect } from '../shard-record.js';
import { nextStreamStep } from '../stream-step.js';

/** Everything that decides in a cut-over. */
export interface CutOverRules {
  readonly nextStep: typeof nextStep;
  readonly leftIdle: typeof leftIdle;
  readonly nextStreamStep: typeof nextStreamStep;
  readonly applyEffect: typeof applyEffect;
  readonly acceptsWrites: typeof acceptsWrites;
  readonly advance: typeof advance;
  readonly routeCall: (
    ...arguments_: [...Parameters<typeof routeCall>, 'read' | 'write']
  ) => ReturnType<typeof routeCall>;
  readonly acknowledgement: typeof acknowledgement;
  readonly renewedLease: typeof renewedLease;
  readonly judgeRead: typeof judgeRead;
  readonly isVerified: typeof isVerified;
  /** Whether a router's own lease ends before the catalog takes it to have ended. */
  readonly ownLeaseEndsFirst: boolean;
  /** Whether an unverified read is verified after it was done; else just before. */
  readonly verifiesAfterReading: boolean;
  /** Whether a timer takes fences off by itself. */
  readonly timerUnfences: boolean;
  /**
   * Whether a stream leaves out what another one has brought, as from PostgreSQL 16 on. Then both may stand at once: the
   * reverse one is there before the hold, and what is ended while callers wait goes on until it is taken off.
   */
  readonly streamsOverlap: boolean;
}

/** The rules as they are. */
export const RULES: CutOverRules = {
  nextStep,
  leftIdle,
  nextStreamStep,
  applyEffect,
  acceptsWrites,
  advance,
  routeCall,
  acknowledgement,
  renewedLease,
  judgeRead,
  isVerified,
  ownLeaseEndsFirst: true,
  verifiesAfterReading: true,
  timerUnfences: false,
  streamsOverlap: false,
};
