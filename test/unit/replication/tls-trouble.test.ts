import { systemClock } from '@tidemark/system';
import { describe, expect, it } from 'vitest';
import {
  addTrouble,
  tlsReasonOf,
  waitForLink,
  type TlsTrouble,
} from '../../../libs/replication/src/feed/tls-trouble.ts';

describe('tlsReasonOf()', () => {
  it.each([
    ['ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE', '', 'no-certificate'],
    ['ECONNRESET', 'CERT_HAS_EXPIRED', 'untrusted-certificate'],
    ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', '', 'feed-refused'],
    ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED', '', 'feed-refused'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', '', 'broken'],
    ['ERR_SSL_UNSUPPORTED_PROTOCOL', '', 'version'],
    ['ERR_SSL_NO_SHARED_CIPHER', '', 'version'],
    ['ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', '', 'version'],
    ['ECONNRESET', '', 'broken'],
    ['', '', 'broken'],
  ])('reads %s with %j as %s', (code, authorization, reason) => {
    expect(tlsReasonOf(code, authorization)).toBe(reason);
  });
});

describe('addTrouble()', () => {
  it('keeps what is known when a connection is merely cut, and takes what is said anew', () => {
    let trouble = addTrouble(null, 'broken', 'ECONNRESET', 10);
    trouble = addTrouble(trouble, 'feed-refused', 'UNKNOWN_CA', 20);
    trouble = addTrouble(trouble, 'broken', 'ECONNRESET', 30);
    expect(trouble).toEqual({
      ...{ reason: 'feed-refused', detail: 'UNKNOWN_CA' },
      ...{ attempts: 1, firstMs: 20, lastMs: 20 },
    });
    trouble = addTrouble(trouble, 'no-certificate', 'none', 40);
    trouble = addTrouble(trouble, 'other-certificate', 'AA', 50);
    expect(trouble).toEqual({
      ...{ reason: 'other-certificate', detail: 'AA' },
      ...{ attempts: 2, firstMs: 20, lastMs: 50 },
    });
  });
});

describe('waitForLink()', () => {
  const trouble = (changes: Partial<TlsTrouble>): TlsTrouble => ({
    ...{ reason: 'feed-refused', detail: 'x', attempts: 3 },
    ...{ firstMs: systemClock.monotonicMs(), lastMs: Infinity, ...changes },
  });
  const wait = (seen: TlsTrouble | null, tlsMs: number, ms = 200): Promise<void> =>
    waitForLink({
      ...{ clock: systemClock, ms, tlsMs, arrived: new AbortController().signal },
      ...{ trouble: () => seen, context: () => ({ phase: 'handshake' }) },
    });

  it('waits on for a server that fails now and then, or did so before this wait', async () => {
    await wait(null, 0);
    await wait(trouble({ attempts: 2 }), 0);
    await wait(trouble({ lastMs: -1, firstMs: -1 }), 0);
  });

  it.each(['no-certificate', 'version', 'broken'] as const)(
    'waits the whole time where all that is known is %s',
    async (reason) => {
      const beganMs = systemClock.monotonicMs();
      await expect(wait(trouble({ reason }), 0)).rejects.toMatchObject({
        ...{ code: 'TM_FEED_TLS', context: { reason } },
      });
      expect(systemClock.monotonicMs() - beganMs).toBeGreaterThanOrEqual(199);
    },
  );

  it('gives a server that fails again and again the time it has, and no more', async () => {
    const beganMs = systemClock.monotonicMs();
    await expect(wait(trouble({}), 300, 60_000)).rejects.toMatchObject({
      code: 'TM_FEED_TLS',
      context: { phase: 'handshake', reason: 'feed-refused', detail: 'x', attempts: 3 },
    });
    expect(systemClock.monotonicMs() - beganMs).toBeGreaterThanOrEqual(299);
  });

  it('names the trouble at the end of the whole time too', async () => {
    await expect(wait(trouble({}), 60_000, 100)).rejects.toMatchObject({ code: 'TM_FEED_TLS' });
  });
});
