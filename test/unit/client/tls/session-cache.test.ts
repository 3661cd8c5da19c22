import { describe, expect, it } from 'vitest';
import { SessionCache } from '../../../../libs/client/src/tls/session-cache.ts';

const entry = (sinceMs: number, name = 's'): Parameters<SessionCache['put']>[1] => ({
  session: Buffer.from(name),
  chain: [],
  verifiedBy: null,
  sinceMs,
});

describe('SessionCache', () => {
  it('gives a session for 300 s after its peer was verified, however often it is gone on with', () => {
    let nowMs = 0;
    const cache = new SessionCache(() => nowMs);
    cache.put('a', entry(0));
    nowMs = 200_000;
    cache.put('a', entry(0, 'renewed')); // the peer was not verified anew
    nowMs = 300_000;
    expect(cache.get('a')?.session.toString()).toBe('renewed');
    nowMs = 300_001;
    expect(cache.get('a')).toBeNull();
    expect(cache.size).toBe(0);
  });

  it('holds 256 at most, the newest, and nothing after a purge', () => {
    const cache = new SessionCache(() => 0);
    for (let i = 0; i < 300; i++) cache.put(`k${i}`, entry(0));
    expect(cache.size).toBe(256);
    expect(cache.get('k43')).toBeNull();
    expect(cache.get('k44')).not.toBeNull();
    cache.delete('k44');
    expect(cache.get('k44')).toBeNull();
    cache.purge();
    expect(cache.size).toBe(0);
  });
});
