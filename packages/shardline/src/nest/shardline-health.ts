import type { DataLayer } from '../data-layer.js';
import { readiness } from '../lifecycle/probes.js';

/** What `@nestjs/terminus` takes for a result. */
export type HealthResult<Key extends string = string> = Readonly<
  Record<Key, { readonly status: 'up' | 'down' } & Readonly<Record<string, unknown>>>
>;

/**
 * The health of the layer in the shape of a Terminus indicator: `health.check([() => shardline.isHealthy()])`.
 * It asks nobody and never throws.
 */
export class ShardlineHealth {
  readonly #layer: Pick<DataLayer, 'health'>;

  constructor(layer: Pick<DataLayer, 'health'>) {
    this.#layer = layer;
  }

  /** @param key under which the result stands. @default 'shardline' */
  isHealthy<Key extends string = 'shardline'>(key?: Key): HealthResult<Key> {
    const { status, body } = readiness(this.#layer);
    const result = { status: status === 200 ? ('up' as const) : ('down' as const), ...body };
    return { [key ?? 'shardline']: result } as unknown as HealthResult<Key>;
  }
}
