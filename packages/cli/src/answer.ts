import type { DocumentKind, Documents } from './documents.js';
import type { ExitCode } from './exit-codes.js';
import type { Style } from './output/style.js';

/**
 * What a verb has found or done: as data for programs, as text for people, and what to do next. Verbs return it and
 * print nothing themselves, so that every one of them has every format.
 */
export type Answer = { readonly [Kind in DocumentKind]: AnswerOf<Kind> }[DocumentKind];

/** An answer of one kind. */
export interface AnswerOf<Kind extends DocumentKind> {
  /** Name of the document: `status`, `plan`. With `--json` it stands in the member `kind`. */
  readonly kind: Kind;
  /** Plain data; its members are documented and stable. */
  readonly data: Documents[Kind];
  text(style: Style): string;
  /** Commands, the most likely first. */
  readonly next: readonly string[];
  /** @default ok */
  readonly exitCode?: ExitCode;
  /** Rows of a database belong to who asks for them and are not masked. @default false */
  readonly isUnmasked?: boolean;
}
