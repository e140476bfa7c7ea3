import type { StandardSchemaV1 } from '@standard-schema/spec';
import { layerError } from '../errors.js';
import type { Columns } from './statements.js';

/** Checks rows against the schema of an entity, or takes them as they are. */
export async function checkRow<Row extends object>(
  entity: string,
  schema: StandardSchemaV1<unknown, Row> | undefined,
  row: Columns,
): Promise<Row> {
  if (schema === undefined) return row as Row;
  const result = await schema['~standard'].validate(row);
  if (result.issues === undefined) return result.value;
  const faults = faultsOf(result.issues, 'row');
  throw layerError(
    'ENTITY_ROW_INVALID',
    `A row of '${entity}' does not fit its schema: ${faults.join('; ')}.`,
    { details: { entity, faults } },
  );
}

/** What a schema has found, one line each. */
export function faultsOf(issues: readonly StandardSchemaV1.Issue[], whole: string): string[] {
  return issues.map(({ message, path }) => {
    const steps = path?.map((step) => String(typeof step === 'object' ? step.key : step));
    return `${steps?.join('.') ?? whole}: ${message}`;
  });
}
