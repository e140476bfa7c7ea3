import type { StandardSchemaV1 } from '@standard-schema/spec';
import { faultsOf } from './entity/row-schema.js';
import { layerError } from './errors.js';

/**
 * Checks the payload of an event against its schema, if it has one.
 *
 * @throws ShardlineError `LAYER_EVENT_INVALID`.
 */
export async function checkPayload(
  event: string,
  schema: StandardSchemaV1 | undefined,
  payload: unknown,
): Promise<unknown> {
  if (schema === undefined) return payload;
  const result = await schema['~standard'].validate(payload);
  if (result.issues === undefined) return result.value;
  const faults = faultsOf(result.issues, 'payload');
  throw layerError(
    'LAYER_EVENT_INVALID',
    `The payload of the event '${event}' does not fit its schema: ${faults.join('; ')}.`,
    { details: { event, faults } },
  );
}
