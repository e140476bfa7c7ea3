import checkOneText from '../lua/check-one.lua';
import clockText from '../lua/clock.lua';
import concurrencyText from '../lua/concurrency.lua';
import decideText from '../lua/decide.lua';
import entryText from '../lua/entry.lua';
import instancesText from '../lua/instances.lua';
import leaseText from '../lua/lease.lua';
import { Script } from './script.js';

/** The scripts of one store. */
export interface Scripts {
  readonly decide: Script;
  readonly checkOne: Script;
  readonly lease: Script;
  readonly concurrency: Script;
  readonly instances: Script;
}

/**
 * Puts the scripts together. The clock is a part of its own so that tests can put one in its place
 * that they can step; whatever else runs in a test is what runs in production.
 */
export function composeScripts(clock: string = clockText): Scripts {
  return {
    decide: new Script(`${clock}\n${entryText}\n${decideText}`),
    checkOne: new Script(`${clock}\n${checkOneText}`),
    lease: new Script(`${clock}\n${entryText}\n${leaseText}`),
    concurrency: new Script(`${clock}\n${concurrencyText}`),
    instances: new Script(`${clock}\n${instancesText}`),
  };
}
