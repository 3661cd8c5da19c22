import { openInstanceLog } from '@tidemark/catalog';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { OpenFeeder } from '../../../../services/restorer/src/feeder/feeder.ts';
import { LocalFeeder } from '../../../../services/restorer/src/feeder/local-feeder.ts';
import { preparePlan } from '../../../../services/restorer/src/run/prepared-plan.ts';
import { seededRandom } from '../../../support/crypto-ports.ts';
import { LOG_KEY, START_MS } from '../../../support/log-events.ts';
import { steppingClock } from '../../../support/stepping-clock.ts';
import { ARCHIVED, TestArchive } from '../../../support/test-archive.ts';

let archive: TestArchive;
beforeEach(async () => {
  archive = await TestArchive.begun();
  archive.write(['SET', 'a', '1']);
  await archive.roll();
});
afterEach(() => archive[Symbol.asyncDispose]());

async function askForTde(): Promise<void> {
  const log = await openInstanceLog({
    ...{ store: archive.store, logKey: LOG_KEY, iid: ARCHIVED },
    ...{ clock: steppingClock(START_MS), random: seededRandom('tde') },
  });
  const key = { provider: 'aws-kms', keyId: 'arn:aws:kms:us-east-1:000000000000:key/one' };
  await log.append(() => ({ type: 'TdeRequested', ...key, auto: false, atMs: START_MS }));
}

/** Which way an archive with this feeder would be fed; the code of the refusal. */
async function prepareWith(openFeeder?: OpenFeeder): Promise<string> {
  const environment = await archive.environment();
  const point = { kind: 'offset', offset: archive.end, timeline: null } as const;
  const request = { instance: ARCHIVED, point, ttl: { mode: 'absolute' } as const };
  try {
    await using prepared = await preparePlan(request, {
      ...environment,
      ...(openFeeder === undefined ? {} : { openFeeder }),
    });
    return prepared.feeder.isolated ? 'apart' : 'here';
  } catch (error) {
    return (error as { readonly code: string }).code;
  }
}

describe('who opens and feeds', () => {
  it('an instance with TDE is not opened in this process, from the request for it on', async () => {
    const { store, keys, clock } = await archive.environment();
    const apart: OpenFeeder = (_, ports) =>
      Object.defineProperty(new LocalFeeder({ store, keys, clock }, ports), 'isolated', {
        value: true,
      });
    expect([await prepareWith(), await prepareWith(apart)]).toEqual(['here', 'apart']);
    await askForTde();
    expect([await prepareWith(), await prepareWith(apart)]).toEqual(['TM_TDE_DENIED', 'apart']);
  });
});
