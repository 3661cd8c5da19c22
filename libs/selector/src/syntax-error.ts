import { UsageError } from '@tidemark/core';

/** Characters of a wrong text that an error shows. */
const SHOWN_MAX = 200;

/** What is wrong with a text of the user, and where. */
export interface SyntaxFault {
  readonly kind: 'regex' | 'glob' | 'key';
  readonly text: string;
  /** Characters before the fault. */
  readonly position: number;
  readonly what: string;
  readonly hint: string;
  /** Line in a file of keys, from 1. */
  readonly line?: number;
}

/** A `TM_SELECTOR_SYNTAX` with the context pattern and position, and line for a file of keys. */
export function syntaxError({ kind, text, position, what, hint, line }: SyntaxFault): UsageError {
  const pattern = text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text;
  const place = `position ${position.toString()}`;
  const where = line === undefined ? place : `${place} of line ${line.toString()}`;
  return new UsageError(
    'TM_SELECTOR_SYNTAX',
    `${kind} ${JSON.stringify(pattern)}: ${what}, at ${where}`,
    { context: { pattern, position, ...(line === undefined ? {} : { line }) }, hint },
  );
}
