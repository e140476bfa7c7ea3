/**
 * Listening to an abort, by however many at once.
 *
 * A caller may well give one signal to a thousand calls, and to one call that becomes a thousand (`getMany`). Each with a
 * listener of its own, Node warns of a leak from the eleventh on, and a listener costs more than the rest of
 * the wait. So a signal has one listener of ours, as long as anybody listens.
 */

interface Entry {
  readonly listener: () => void;
}

class Listeners {
  readonly #entries = new Set<Entry>();
  readonly #signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  add(entry: Entry): void {
    if (this.#entries.size === 0) this.#signal.addEventListener('abort', this.#fire);
    this.#entries.add(entry);
  }

  remove(entry: Entry): void {
    if (!this.#entries.delete(entry) || this.#entries.size > 0) return;
    this.#signal.removeEventListener('abort', this.#fire);
  }

  readonly #fire = (): void => {
    // Each is told once, in the order of arrival; who takes another off before its turn is obeyed.
    for (const entry of this.#entries) {
      this.remove(entry);
      entry.listener();
    }
  };
}

const bySignal = new WeakMap<AbortSignal, Listeners>();

/**
 * Calls the listener once when the signal fires, unless it is taken off before, by calling what is returned. A signal
 * that has fired already calls nobody. The listener must not throw.
 *
 * @example
 * ```ts
 * import { onAbort } from '@shardline/core';
 *
 * const stop = new AbortController();
 * const ignore = onAbort(stop.signal, () => console.log('given up'));
 * ignore();
 * ```
 */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  let listeners = bySignal.get(signal);
  if (listeners === undefined) {
    listeners = new Listeners(signal);
    bySignal.set(signal, listeners);
  }
  const entry: Entry = { listener };
  listeners.add(entry);
  return () => listeners.remove(entry);
}
