import { describe, expect, it } from 'vitest';
import { parseRequest } from '../../../../services/archiver/src/control/protocol.ts';

describe('parseRequest()', () => {
  it.each(['status', 'backup', 'roll', 'attach', 'detach'])('reads %s', (method) => {
    const request = { id: 3, method, instance: 'orders' };
    expect(parseRequest(JSON.stringify({ ...request, more: 1 }))).toEqual(request);
    expect(parseRequest(JSON.stringify({ ...request, instance: null }))?.instance).toBeNull();
  });

  it('reads a proof with both timelines, and none without', () => {
    const request = { id: 3, method: 'prove', instance: 'orders' };
    const proof = { closed: 't1', opened: 't2' };
    expect(parseRequest(JSON.stringify({ ...request, proof }))).toEqual({ ...request, proof });
    for (const wrong of [undefined, null, 't1', {}, { closed: 't1' }, { ...proof, opened: 2 }]) {
      expect(parseRequest(JSON.stringify({ ...request, proof: wrong }))).toBeNull();
    }
  });

  it.each([
    ...['', 'status', '{', 'null', '[]', '1', '{}', '{"id":1,"method":"status"}'],
    ...['{"id":"1","method":"status","instance":null}', '{"id":1,"instance":null}'],
    ...['{"id":1,"method":"shutdown","instance":null}', '{"id":1,"method":"roll","instance":7}'],
    '{"id":1,"method":"toString","instance":null}',
  ])('is null for %s', (line) => {
    expect(parseRequest(line)).toBeNull();
  });
});
