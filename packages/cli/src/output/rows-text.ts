import type { Style } from './style.js';
import { renderTable } from './table.js';
import { toJson } from './to-json.js';

/** Rows as a table, with a line below that says what they are. */
export function rowsText(
  columns: readonly string[],
  rows: readonly Readonly<Record<string, unknown>>[],
  caption: string,
  style: Style,
): string {
  if (columns.length === 0 || rows.length === 0) return caption;
  const table = renderTable(
    columns.map((title) => ({ title })),
    rows.map((row) => columns.map((column) => cell(row[column]))),
    style,
  );
  return `${table}\n\n${style.dim(caption)}`;
}

/** One line for each row: whatever would break it is written as JSON writes it. */
function cell(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'string') return value.replace(/\p{Cc}/gu, escaped);
  return toJson(value).replace(/^"(.*)"$/, '$1');
}

/** A value may hold what a terminal obeys; it is shown and not obeyed. */
function escaped(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
}
