import { readFileSync } from 'node:fs';
import {
  EMPTY_INSTANCE_STATE,
  evolveInstance,
  type InstanceEvent,
  type InstanceState,
} from '@tidemark/catalog';
import { describe, expect, it } from 'vitest';
import {
  decodeInstanceEntry,
  encodeInstanceEntry,
} from '../../../libs/catalog/src/log/instance-codec.ts';
import { LOG_KEY, START_MS } from '../../support/log-events.ts';

const fixture = new URL('../../fixtures/catalog/policy-v1.json', import.meta.url);
const { vectors } = JSON.parse(readFileSync(fixture, 'utf8')) as {
  readonly vectors: readonly { readonly name: string; readonly hex: string }[];
};
const atMs = START_MS;
const days = ['mon', 'sun'] as const;
const early = { days, hours: ['03:00Z-04:00Z'], retainSeconds: 604_800 };
const whole = {
  ...{ days, hours: ['02:30', '14:00'], retainSeconds: 604_800, keepLast: 3, flashback: false },
  timeZone: 'America/Argentina/Buenos_Aires',
};
/** The first two were written by a release that knew no zones. */
const EVENTS: readonly InstanceEvent[] = [
  { type: 'InstanceCreated', iid: 'inst', name: 'inst', atMs },
  { type: 'PolicySet', policy: early, atMs },
  { type: 'PolicySet', policy: whole, by: 'eve@example.com', atMs },
];

describe('policies in an instance log', () => {
  it('of an early release are read, and so are those of today', () => {
    let state: InstanceState = EMPTY_INSTANCE_STATE;
    for (const [seq, event] of EVENTS.entries()) {
      const bytes = Buffer.from(vectors[seq]?.hex ?? '', 'hex');
      const predecessor = state.digest;
      const expected = { iid: 'inst', seq, predecessor, logKey: LOG_KEY, keyProven: false };
      const entry = decodeInstanceEntry(bytes, expected);
      expect(entry.event).toEqual(event);
      state = evolveInstance(state, entry.event, seq, entry.digest);
      if (seq === 1) expect(state).toMatchObject({ policy: early, policySet: { by: null, seq } });
    }
    const policySet = { seq: 2, by: 'eve@example.com', atMs };
    expect(state).toMatchObject({ policy: whole, policySet });
    expect(vectors).toHaveLength(EVENTS.length);
  });

  it('are written byte by byte as they were', () => {
    let state: InstanceState = EMPTY_INSTANCE_STATE;
    for (const [seq, event] of EVENTS.entries()) {
      const author = 'ab'.repeat(16);
      const place = { seq, iid: 'inst', author, predecessor: state.digest, logKey: LOG_KEY };
      const bytes = encodeInstanceEntry({ ...place, event });
      expect(bytes.toString('hex')).toBe(vectors[seq]?.hex);
      const { digest } = decodeInstanceEntry(bytes, { ...place, keyProven: true });
      state = evolveInstance(state, event, seq, digest);
    }
  });

  it.each([
    ['a zone that no name can be', { timeZone: '../etc' }],
    ['an offset for a zone', { timeZone: '+01:00' }],
    ['a zone over its length', { timeZone: 'A'.repeat(65) }],
    ['no backup to keep', { keepLast: 0 }],
    ['too many backups to keep', { keepLast: 1001 }],
    ['half a span', { hours: ['03:00Z-04:00'] }],
    ['an hour that is none', { hours: ['24:00'] }],
  ])('are not written with %s', (_, over) => {
    const content = { seq: 1, iid: 'inst', author: 'ab'.repeat(16), predecessor: '0'.repeat(64) };
    const event = { type: 'PolicySet', policy: { ...whole, ...over }, atMs } as const;
    expect(() => encodeInstanceEntry({ ...content, logKey: LOG_KEY, event })).toThrow(
      expect.objectContaining({ code: 'TM_LOG_STATE' }) as Error,
    );
  });
});
