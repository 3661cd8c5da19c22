import { systemRandom } from '@tidemark/system';
import type { Job, Json } from '@tidemark/control';
import { expect, it } from 'vitest';
import { mayChange } from '../../../services/control/src/api/routes/may-change-job.ts';
import { checkSource } from '../../../services/control/src/clone/check-given.ts';
import { cloneHandler } from '../../../services/control/src/clone/clone-handler.ts';
import type { CloneParts } from '../../../services/control/src/clone/clone-attempt.ts';
import type { Provisioned } from '../../../services/control/src/provision/provisioner.ts';
import { privateHandler } from '../../../services/control/src/jobs/private-handler.ts';
import { ALICE } from '../../support/job-desk.ts';
import { LOG_KEY } from '../../support/log-events.ts';

const BOB = { name: 'bob', via: 'token' } as const;
const TARGET = { kind: 'address', url: 'redis://10.0.0.9:6379', passwordRef: null, tls: null };
const parts = { keys: { logKey: () => Promise.resolve(LOG_KEY) }, random: systemRandom };

async function kept(request: Json): Promise<Json> {
  const clone = { ...cloneHandler({} as CloneParts), check: () => request };
  return privateHandler(clone, parts).check({
    ...{ kind: 'clone', instance: 'inst', actor: BOB, request },
  });
}

const jobOf = (kind: Job['kind'], request: Json, actor: Job['actor'] = BOB): Job =>
  ({ id: 'job-1', kind, instance: 'inst', request, actor }) as unknown as Job;
const changes =
  (job: Job, wanted: 'cancel' | 'resume', scope: 'restore' | 'admin' = 'restore') =>
  (): Job =>
    mayChange({ actor: BOB, scopes: [scope] }, job, wanted);
const FORBIDDEN = expect.objectContaining({ problem: 'forbidden' }) as unknown as Error;

it('a clone that takes a server of others under protection is changed by administrators alone', async () => {
  const request = { register: true, target: TARGET, name: 'copy', writesTo: null };
  const job = jobOf('clone', await kept(request));
  for (const wanted of ['cancel', 'resume'] as const) {
    expect(changes(job, wanted)).toThrow(FORBIDDEN);
    expect(changes(job, wanted, 'admin')()).toBe(job);
  }
  for (const more of [{ register: false }, { target: { kind: 'local', tls: null } }]) {
    const plain = jobOf('clone', await kept({ ...request, ...more }));
    expect(changes(plain, 'resume')()).toBe(plain);
  }
});

it('of a clone that an earlier version kept nobody knows, so that it is for administrators', () => {
  expect(changes(jobOf('clone', { sealed: 'AA', exclusive: null }), 'resume')).toThrow(FORBIDDEN);
  const restore = jobOf('restore', { sealed: 'AA', exclusive: null });
  expect(changes(restore, 'resume')()).toBe(restore);
});

it('what the command line asked for is cancelled by others, and resumed by administrators', () => {
  const job = jobOf('restore', {}, ALICE);
  expect(changes(job, 'resume')).toThrow(FORBIDDEN);
  expect(changes(job, 'resume', 'admin')()).toBe(job);
  expect(changes(job, 'cancel')()).toBe(job);
});

it('a server that no rule lets under protection any more is not registered', async () => {
  const there = { publicUrl: TARGET.url, url: TARGET.url } as Provisioned;
  // One that a hook has chosen is held against the same list.
  for (const target of [TARGET, { kind: 'hook', tls: null }]) {
    const asked = { target } as unknown as Parameters<typeof checkSource>[0];
    const check = (allowSources: readonly string[], actor: Job['actor'] = BOB): Promise<void> =>
      checkSource(asked, there, actor, { allowSources });
    await expect(check(['10.0.0.8/32:6379'])).rejects.toMatchObject({ code: 'TM_TARGET_DENIED' });
    await check(['10.0.0.9/32:6379']);
    await check([], ALICE);
  }
  const local = { target: { kind: 'local' } } as Parameters<typeof checkSource>[0];
  await checkSource(local, there, BOB, { allowSources: [] });
});
