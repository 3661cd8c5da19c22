import { describe, expect, it } from 'vitest';
import { IntegrityError, nameObject, TidemarkError } from '@tidemark/core';

describe('nameObject()', () => {
  it('puts the name into message and context and keeps class, code, hint and cause', () => {
    const cause = new IntegrityError('TM_SEAL_CHUNK', 'chunk 3 was changed', {
      context: { chunk: 3 },
      hint: 'look elsewhere',
    });
    const named = nameObject(cause, 'v1/a');
    expect(named).toBeInstanceOf(IntegrityError);
    expect(named).toMatchObject({
      code: 'TM_SEAL_CHUNK',
      message: 'v1/a: chunk 3 was changed',
      context: { chunk: 3, object: 'v1/a' },
      hint: 'look elsewhere',
      cause,
    });
    expect(nameObject(named, 'v1/a')).toBe(named);
  });

  it('keeps a name that is known already', () => {
    const cause = new TidemarkError('TM_KEY_FORMAT', 'not JSON', { context: { object: 'v1/k' } });
    expect(nameObject(cause, 'v1/a')).toMatchObject({
      message: 'v1/k: not JSON',
      context: { object: 'v1/k' },
    });
  });

  it('leaves other errors as they are', () => {
    const cause = new Error('out of memory');
    expect(nameObject(cause, 'v1/a')).toBe(cause);
    const cancelled = new TidemarkError('TM_CANCELLED', 'cancelled');
    expect(nameObject(cancelled, 'v1/a')).toBe(cancelled);
  });
});
