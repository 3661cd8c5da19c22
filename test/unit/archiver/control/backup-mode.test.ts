import { describe, expect, it } from 'vitest';
import { parseRequest } from '../../../../services/archiver/src/control/protocol.ts';

const line = (over: object): string =>
  JSON.stringify({ id: 1, method: 'backup', instance: 'shop', ...over });

describe('a request for a backup', () => {
  it('may say whether a policy asks for it, and is as it was where it does not', () => {
    const plain = { id: 1, method: 'backup', instance: 'shop' };
    expect(parseRequest(line({}))).toEqual(plain);
    expect(parseRequest(line({ mode: 'automated' }))).toEqual({ ...plain, mode: 'automated' });
    expect(parseRequest(line({ mode: 'manual' }))).toEqual({ ...plain, mode: 'manual' });
  });

  it('is none with a mode that is not known', () => {
    for (const mode of ['attach', 'AUTOMATED', 1, null, {}]) {
      expect(parseRequest(line({ mode }))).toBeNull();
    }
    // Of other requests it is no part.
    expect(parseRequest(line({ method: 'policy', mode: 'attach' }))).toEqual({
      ...{ id: 1, method: 'policy', instance: 'shop' },
    });
  });
});
