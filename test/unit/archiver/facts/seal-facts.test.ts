import { randomBytes } from 'node:crypto';
import { NODE_FACTS_PLACE, objectIdentity, unpackFacts } from '@tidemark/archive';
import { BODY_BYTES_MAX } from '@tidemark/catalog';
import { OBJECT_KIND, openBytes, type DataKey } from '@tidemark/crypto';
import { describe, expect, it } from 'vitest';
import { packWithinLimit, sealFacts } from '../../../../services/archiver/src/facts/seal-facts.ts';
import { seededRandom } from '../../../support/crypto-ports.ts';
import { FACTS } from '../../../support/node-facts.ts';

const hashes = (count: number): string =>
  Array.from({ length: count }, () => `#${randomBytes(32).toString('hex')}`).join(' ');

describe('packWithinLimit()', () => {
  it('keeps facts that fit as they are', () => {
    expect(unpackFacts(packWithinLimit(FACTS).packed)).toEqual(FACTS);
  });

  it.each([
    ['more than 4 MiB', 'x'.repeat(5 * 1024 * 1024)],
    ['more than a log entry can hold', hashes(50_000)],
  ])('leaves users of %s out and says so', (_, rules) => {
    const { packed } = packWithinLimit({ ...FACTS, acl: [{ name: 'many', rules }] });
    expect(packed.length).toBeLessThan(BODY_BYTES_MAX);
    expect(unpackFacts(packed)).toEqual({
      ...FACTS,
      acl: null,
      unread: [{ part: 'acl', code: 'TM_LIMIT' }],
    });
  });

  it('refuses settings that do not fit by themselves', () => {
    const config = { 'client-output-buffer-limit': hashes(50_000) };
    expect(() => packWithinLimit({ ...FACTS, config })).toThrow(
      expect.objectContaining({ code: 'TM_LIMIT' }) as Error,
    );
  });
});

describe('sealFacts()', () => {
  const dataKey: DataKey = { id: 'ab'.repeat(16), key: Buffer.alloc(32, 3) };
  const place = { instance: 'inst', writer: 'w1', random: seededRandom('facts') };

  it('seals them for one writer; no hash is readable', () => {
    const { json, packed } = packWithinLimit(FACTS);
    const { object, body } = sealFacts(packed, dataKey, place);
    expect(json.includes('ab'.repeat(32))).toBe(true);
    expect(body.includes('ab'.repeat(8))).toBe(false);
    expect(object).toMatchObject({ key: null, size: body.length, kind: OBJECT_KIND.nodeFacts });
    const open = (writer: string): Buffer =>
      openBytes(body, {
        keyOf: () => dataKey,
        kind: OBJECT_KIND.nodeFacts,
        identity: objectIdentity({
          ...{ iid: 'inst', writer, ...NODE_FACTS_PLACE },
          ...{ kind: OBJECT_KIND.nodeFacts, key: null },
        }),
      });
    expect(unpackFacts(open('w1'))).toEqual(FACTS);
    expect(() => open('w2')).toThrow(
      expect.objectContaining({ code: 'TM_SEAL_IDENTITY' }) as Error,
    );
  });
});
