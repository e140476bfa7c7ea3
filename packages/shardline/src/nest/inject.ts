import { Inject } from '@nestjs/common';

/** The token of the layer. */
export const LAYER = Symbol.for('shardline.nest.layer');

/** The token of an entity. */
export function entityToken(entity: string): symbol {
  return Symbol.for(`shardline.nest.entity.${entity}`);
}

/**
 * Injects the layer into a constructor's parameter or a property.
 *
 * @example
 * ```ts
 * import type { DataLayer } from 'shardline';
 * import { InjectLayer } from 'shardline/nest';
 *
 * class Accounts {
 *   layer!: DataLayer;
 * }
 * InjectLayer()(Accounts.prototype, 'layer'); // @InjectLayer() layer: DataLayer;
 * ```
 */
export function InjectLayer(): PropertyDecorator & ParameterDecorator {
  return Inject(LAYER);
}

/** Injects an entity of the layer by its name. */
export function InjectEntity(entity: string): PropertyDecorator & ParameterDecorator {
  return Inject(entityToken(entity));
}
