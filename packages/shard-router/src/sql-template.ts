/**
 * Statements that take names or literals where PostgreSQL takes no parameters.
 *
 * A placeholder is `:name`; what is put in its place comes from the quoting module, every time. Comments of the
 * file are left out, so that a placeholder explained there is none.
 */

/** Fills the placeholders of a statement with text that has been quoted. */
export function fillSql(template: string, values: Readonly<Record<string, string>>): string {
  return template
    .replace(/^\s*--.*\n/gm, '')
    .replace(/(?<!:):([a-z_]+)/g, (whole, name: string) => values[name] ?? whole);
}
