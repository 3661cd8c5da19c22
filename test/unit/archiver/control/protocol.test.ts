import { describe, expect, it } from 'vitest';
import { parseRequest } from '../../../../services/archiver/src/control/protocol.ts';

describe('parseRequest()', () => {
  it.each(['status', 'backup', 'roll', 'attach', 'detach'])('reads %s', (method) => {
    const request = { id: 3, method, instance: 'orders' };
    expect(parseRequest(JSON.stringify({ ...request, more: 1 }))).toEqual(request);
    expect(parseRequest(JSON.stringify({ ...request, instance: null }))?.instance).toBeNull();
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
