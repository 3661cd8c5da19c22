import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { openInstanceLog } from '@tidemark/catalog';
import { createKeyRing, type KeyProvider, type KeyRing } from '@tidemark/crypto';
import { rewrapKeys, shredKeys, type ShredReport } from '@tidemark/restorer';
import { openStore, type ObjectStore } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import { expect, it } from 'vitest';
import { standingClock } from '../../support/crypto-ports.ts';
import { buildTinyArchive, TINY_INSTANCE } from '../../support/damage/tiny-archive.ts';
import { describeWithS3, S3Server } from '../../support/s3-servers.ts';
import { TempDir } from '../../support/temp-dir.ts';

const NEVER = new AbortController().signal;
const DATA_KEYS = 3;

/** An archive in a bucket that keeps versions. */
async function build(
  server: S3Server,
  dir: TempDir,
  bucket: string,
): Promise<{ readonly store: ObjectStore; readonly keys: KeyProvider & KeyRing }> {
  const settings = server.settings({ bucket });
  const store = await openStore(settings, { random: systemRandom, clock: systemClock });
  const clock = standingClock(Date.now());
  const keys = await createKeyRing({ dir: join(dir.path, bucket), random: systemRandom, clock });
  await buildTinyArchive({ store, keys, clock, random: systemRandom });
  return { store, keys };
}

async function shred(store: ObjectStore, keys: KeyProvider): Promise<ShredReport> {
  const logKey = await keys.logKey(TINY_INSTANCE);
  const ports = { store, clock: systemClock, random: systemRandom };
  const log = await openInstanceLog({ ...ports, iid: TINY_INSTANCE, logKey });
  const options = { instance: TINY_INSTANCE, dekIds: null, store, log, clock: systemClock };
  return shredKeys({ ...options, signal: NEVER, onProgress: () => undefined });
}

describeWithS3(
  'keys in a bucket that keeps versions',
  (kind) => {
    it('a destroyed key leaves no version, neither does one that was wrapped anew', async () => {
      await using dir = await TempDir.create('tidemark-versions-');
      await using server = await S3Server.start({ kind });
      const { bucket } = server;
      const body =
        '<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>';
      const on = await server.request({
        method: 'PUT',
        path: `/${bucket}`,
        query: { versioning: '' },
        body,
      });
      expect(on.status, on.body).toBe(200);
      const { store, keys } = await build(server, dir, bucket);
      const versions = async (): Promise<number> => {
        const query = { versions: '', prefix: 'v1/keys/' };
        const answer = await server.request({ method: 'GET', path: `/${bucket}`, query });
        return answer.body.match(/<(Version|DeleteMarker)>/g)?.length ?? 0;
      };
      expect(await versions()).toBe(DATA_KEYS);
      await keys.rotate();
      const logKey = await keys.logKey(TINY_INSTANCE);
      const ports = { store, clock: systemClock, random: systemRandom };
      const log = await openInstanceLog({ ...ports, iid: TINY_INSTANCE, logKey });
      const target = { provider: 'ring', keyId: keys.ringId };
      const options = { instance: TINY_INSTANCE, target, store, keys, log, signal: NEVER };
      const report = await rewrapKeys({ ...options, onProgress: () => undefined });
      expect(report).toMatchObject({ rewrapped: DATA_KEYS, removed: DATA_KEYS });
      expect(await versions()).toBe(DATA_KEYS);
      await store.delete('v1/keys/tiny/' + 'ab'.repeat(16) + '/00000000000000000001');
      expect(await shred(store, keys)).toMatchObject({ versioned: true, again: false });
      expect(await versions()).toBe(0);
    });

    it('is refused while Object Lock holds a key object; nothing is done', async () => {
      await using dir = await TempDir.create('tidemark-locked-');
      await using server = await S3Server.start({ kind });
      await server.createBucket('locked', { objectLock: true });
      const { store, keys } = await build(server, dir, 'locked');
      const found: string[] = [];
      for await (const batch of store.list('v1/keys/')) found.push(...batch.map(({ key }) => key));
      const until = new Date(Date.now() + 86_400_000).toISOString();
      // A second version of it, with a retention of its own.
      const held = await server.request({
        ...{ method: 'PUT', path: `/locked/${found[1]!}!`, body: 'held' },
        headers: {
          'x-amz-object-lock-mode': 'COMPLIANCE',
          'x-amz-object-lock-retain-until-date': until,
          'content-md5': createHash('md5').update('held').digest('base64'),
        },
      });
      expect(held.status, held.body).toBe(200);
      await expect(shred(store, keys)).rejects.toMatchObject({
        ...{ code: 'TM_STORE_LOCKED', exitCode: 11, context: { object: found[1] } },
      });
      for (const key of found) expect(await store.head(key)).not.toBeNull();
    });
  },
  ['moto'],
);
