import type { Bus, BusListener, BusMessage } from '../bus/bus.js';
import type { Scheduler } from './scheduler.js';

/**
 * A bus between the processes of a scenario. Each delivery is a step of its own, in order for each
 * listener; a listener that is cut off gets nothing until it is joined again, and then a gap.
 */
export class ScriptedWire {
  readonly #endpoints: ScriptedBus[] = [];

  constructor(readonly scheduler: Scheduler) {}

  endpoint(process: string): ScriptedBus {
    const endpoint = new ScriptedBus(this, process);
    this.#endpoints.push(endpoint);
    return endpoint;
  }

  send(from: ScriptedBus, message: BusMessage): void {
    for (const endpoint of this.#endpoints) if (endpoint !== from) endpoint.enqueue(message);
  }
}

export class ScriptedBus implements Bus {
  gaps = 0;
  #listener: BusListener | undefined;
  #delivering: Promise<void> = Promise.resolve();
  #isCut = false;

  constructor(
    private readonly wire: ScriptedWire,
    private readonly process: string,
  ) {}

  start(listener: BusListener): void {
    this.#listener = listener;
  }

  async publish(message: BusMessage): Promise<void> {
    await this.wire.scheduler.step(`${this.process} bus publish`);
    this.wire.send(this, message);
  }

  enqueue(message: BusMessage): void {
    const deliver = async () => {
      await this.wire.scheduler.step(`${this.process} bus deliver`);
      if (!this.#isCut) this.#listener?.onMessage(message);
    };
    this.#delivering = this.#delivering.then(deliver);
  }

  /** The connection is lost: what is sent meanwhile never arrives. */
  cut(): void {
    this.#isCut = true;
  }

  /** The connection is back, and the gap is noticed. */
  join(): void {
    this.#isCut = false;
    this.gaps += 1;
    this.#listener?.onGap('scripted');
  }

  heardOut(asOfMs: number): void {
    this.#listener?.onHeardOut(asOfMs);
  }

  async close(): Promise<void> {}
}
