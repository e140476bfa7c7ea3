import { Telemetry } from '@shardline/core';

/**
 * Spans of the work behind a cache: loads, refreshes, invalidations. Where no tracing SDK is registered each
 * costs one comparison; hits have none at all. Keys are not among the attributes: they often name people.
 */
export class Tracing {
  readonly #telemetry = new Telemetry({ scope: '@shardline/cache', version: '0.1.0' });

  /** Runs work inside a span, if anybody listens. */
  run<T>(
    what: 'load' | 'refresh' | 'invalidate',
    namespace: string,
    work: () => Promise<T>,
  ): Promise<T> {
    if (!this.#telemetry.isTracing) return work();
    const attributes = { 'shardline.cache.namespace': namespace };
    return this.#telemetry.trace(`cache ${what} ${namespace}`, attributes, work);
  }

  close(): void {
    this.#telemetry.close();
  }
}
