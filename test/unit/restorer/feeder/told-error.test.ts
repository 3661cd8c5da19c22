import {
  CatalogError,
  FormatError,
  IntegrityError,
  KeyError,
  NodeError,
  PlanError,
  StoreError,
  TidemarkError,
  UsageError,
} from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import {
  decodeDocument,
  encodeDocument,
} from '../../../../services/restorer/src/feeder/process/document.ts';
import {
  errorOf,
  tellError,
  type ToldError,
} from '../../../../services/restorer/src/feeder/process/told-error.ts';

const told = (error: unknown): Error =>
  errorOf(decodeDocument(encodeDocument(tellError(error))) as ToldError);

describe('an error that is told to another process', () => {
  it.each([
    new CatalogError('TM_CATALOG_DB', 'a'),
    new FormatError('TM_RDB_TYPE', 'b', { context: { offset: 2n ** 60n, type: 99 } }),
    new IntegrityError('TM_SEAL_CHUNK', 'c', { context: { object: 'v1/x', last: true, at: null } }),
    new KeyError('TM_KEY_DENIED', 'd', { hint: 'ask for kms:Decrypt' }),
    new NodeError('TM_FEED', 'e'),
    new PlanError('TM_TARGET_COMMAND', 'f'),
    new StoreError('TM_STORE_IO', 'g'),
    new UsageError('TM_USAGE', 'h'),
    new TidemarkError('TM_LIMIT', 'i'),
  ])('keeps class, code, context, hint and exit code: %s', (error) => {
    const there = told(error);
    expect(there.constructor).toBe(error.constructor);
    const { code, message, context, hint, exitCode, retryable } = error;
    expect(there).toMatchObject({ code, message, context, hint, exitCode, retryable });
  });

  it('keeps what is below, as far as that goes', () => {
    let error: Error = new Error('the end');
    for (const name of ['c', 'b', 'a']) {
      error = new StoreError('TM_STORE_IO', name, { cause: error });
    }
    const names = (top: Error): string[] => {
      const found: string[] = [];
      for (let at: unknown = top; at instanceof Error; at = at.cause) found.push(at.message);
      return found;
    };
    expect(names(told(error))).toEqual(['a', 'b', 'c', 'the end']);
    const higher = new StoreError('TM_STORE_IO', 'top', { cause: error });
    expect(names(told(higher))).toEqual(['top', 'a', 'b', 'c']);
  });

  it('is bounded, and is no stack', () => {
    const long = 'x'.repeat(100_000);
    const error = new StoreError('TM_STORE_IO', long, {
      hint: long,
      context: Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`n${i}`, long])),
    });
    expect(encodeDocument(tellError(error)).length).toBeLessThan(300_000);
    expect(encodeDocument(tellError(new Error('plain')))).not.toContain('told-error.test');
  });

  it('of nobody stays one of nobody, and so does what is no error', () => {
    expect(told(new TypeError('not a function'))).toMatchObject({ message: 'not a function' });
    expect(told('text')).toMatchObject({ message: 'text' });
    expect(told(new TypeError('x'))).not.toBeInstanceOf(TidemarkError);
    const unknown = { ...tellError(new NodeError('TM_FEED', 'y')), code: 'TM_NOT_YET' };
    expect(errorOf(unknown as unknown as ToldError)).not.toBeInstanceOf(TidemarkError);
  });
});
