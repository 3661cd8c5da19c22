import { serveArchiver, type ServeOptions } from '@tidemark/archiver';
import { refuseUnverified } from '@tidemark/core';
import { openStore, type S3StoreSettings } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { KmsService } from '../../../libs/crypto/src/kms/kms-service.ts';

const NAME = 'NODE_TLS_REJECT_UNAUTHORIZED';
const REFUSED = { code: 'TM_TLS_SETTINGS', message: expect.stringContaining(NAME) as string };
const STORE: S3StoreSettings = {
  ...{ kind: 's3', bucket: 'b', prefix: '', region: 'us-east-1' },
  ...{ endpoint: 'https://127.0.0.1:1', forcePathStyle: true, storageClass: null },
  ...{ objectLockDays: 0, partSize: 8 << 20, concurrency: 1, checksum: 'when_required' },
};

describe('a process in which Node.js was told to verify nothing', () => {
  beforeEach(() => {
    vi.stubEnv(NAME, '0');
    return () => vi.unstubAllEnvs();
  });

  it('is refused, and no other one', () => {
    expect(() => refuseUnverified(process.env)).toThrow(expect.objectContaining(REFUSED) as Error);
    for (const value of [undefined, '', '1', 'false']) {
      expect(() => refuseUnverified({ [NAME]: value })).not.toThrow();
    }
  });

  it('opens no store in S3', async () => {
    const ports = { clock: systemClock, random: systemRandom };
    await expect(openStore(STORE, ports)).rejects.toMatchObject(REFUSED);
    vi.unstubAllEnvs();
    expect((await openStore(STORE, ports)).url).toContain('s3://b');
  });

  it('asks no key service', async () => {
    const connection = { region: 'us-east-1', endpoint: 'https://127.0.0.1:1' };
    const service = new KmsService({ connection, clock: systemClock, random: systemRandom });
    const run = vi.fn(() => Promise.resolve('asked'));
    const call = { action: 'Decrypt', keyId: null, run } as const;
    await expect(service.call(call)).rejects.toMatchObject(REFUSED);
    expect(run).not.toHaveBeenCalled();
    vi.unstubAllEnvs();
    expect(await service.call(call)).toBe('asked');
    service.close();
  });

  it('runs no archiver', async () => {
    const { signal } = new AbortController();
    await expect(serveArchiver({} as ServeOptions, signal)).rejects.toMatchObject(REFUSED);
  });
});
