import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { systemClock } from '@tidemark/system';
import { expect, it } from 'vitest';
import { openAuthenticator } from '../../../services/control/src/api/auth.ts';
import { keptFor } from '../../../services/control/src/metrics/operations-routes.ts';
import { QUIET } from '../../support/job-desk.ts';
import { TempDir } from '../../support/temp-dir.ts';

type Asked = Parameters<ReturnType<typeof openAuthenticator>['authenticate']>[0];

/** A connection whose certificate was accepted. */
function shown(digest: string, subject: string): Asked {
  const fingerprint256 = (digest.toUpperCase().match(/../g) ?? []).join(':');
  const socket = Object.create(TLSSocket.prototype, {
    authorized: { value: true },
    getPeerX509Certificate: { value: () => ({ fingerprint256, subject }) },
  }) as TLSSocket;
  return { raw: { socket } } as unknown as Asked;
}

it('two certificates of one name are two callers, and each is always the same one', async () => {
  await using dir = await TempDir.create();
  const tokensFile = join(dir.path, 'tokens');
  const [first, second] = ['a1'.repeat(32), 'b2'.repeat(32)];
  const lines = [first, second].map((digest) => `cert:${digest}:read:never\n`);
  await writeFile(tokensFile, lines.join(''), { mode: 0o600 });
  const authenticator = openAuthenticator({ auth: 'mtls', tokensFile }, systemClock, QUIET);
  const callers = await Promise.all(
    [first, second, first].map((digest) => authenticator.authenticate(shown(digest, 'CN=ops'))),
  );
  expect(callers.map(({ actor }) => actor.name)).toEqual(['ops', 'ops', 'ops']);
  const [one, other, again] = callers.map(({ id }) => id);
  expect(again).toBe(one);
  expect(other).not.toBe(one);
});

it('readiness is looked at once within a second, whoever asks', async () => {
  let [nowMs, looks] = [0, 0];
  const readiness = keptFor(
    1_000,
    () => Promise.resolve((looks += 1)),
    () => nowMs,
  );
  expect(await Promise.all([readiness(), readiness()])).toEqual([1, 1]);
  nowMs = 999;
  expect(await readiness()).toBe(1);
  nowMs = 1_000;
  expect(await readiness()).toBe(2);
});
