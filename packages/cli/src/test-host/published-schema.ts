/** Holds what the command prints for programs to the schema that it publishes. */

import { readFileSync } from 'node:fs';
import { Ajv, type ValidateFunction } from 'ajv';

const read = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../schema/${name}`, import.meta.url), 'utf8'));

// Defaults and formats are words for people, written by hand in the types.
const compile = (name: string): ValidateFunction =>
  new Ajv({ allErrors: true, strict: false, validateFormats: false }).compile(read(name));

/** Whether an object is a configuration, by the published schema. */
export const isConfiguration = compile('configuration.json');
const isDocument = compile('documents.json');

/**
 * Fails if any of the documents is not as published.
 *
 * @param text what was printed: one document, or one on each line.
 */
export function expectPublished(text: string, format: 'json' | 'ndjson'): void {
  const documents = format === 'json' ? [text] : text.trim().split('\n');
  for (const document of documents.filter((each) => each.trim() !== '')) {
    const value: unknown = JSON.parse(document);
    if (isDocument(value)) continue;
    const { kind } = value as { kind?: string };
    throw new Error(`${kind ?? 'an error'} is not as published: ${reasons(kind)}`);
  }
}

/** Of the kind that it claims to be: the others are all no match either. */
function reasons(kind: string | undefined): string {
  const branches = read('documents.json').oneOf as { title: string }[];
  const at = branches.findIndex(({ title }) => title === (kind ?? 'error'));
  const own = isDocument.errors?.filter(
    ({ schemaPath }) =>
      !schemaPath.startsWith('#/oneOf/') || schemaPath.startsWith(`#/oneOf/${at}/`),
  );
  return (own ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`).join('; ');
}
