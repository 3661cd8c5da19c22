import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { latchFilePath } from '@tidemark/catalog';
import { openNodeTls } from '@tidemark/client';
import { refuseTdeNode } from '@tidemark/restorer';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clearEnds, refuseClearNames } from '../../../services/restorer/src/tde/instance-tde.ts';
import { ARCHIVED, TestArchive } from '../../support/test-archive.ts';

const NODE = { address: { host: '192.0.2.1', port: 6379 }, replids: [], runId: '' };
const ELSEWHERE = { host: '192.0.2.2', port: 6380 };

let archive: TestArchive;
let environment: Awaited<ReturnType<TestArchive['environment']>>;
beforeAll(async () => {
  archive = await TestArchive.begun();
  environment = await archive.environment();
  const latch = latchFilePath(environment.stateDir, ARCHIVED);
  await mkdir(dirname(latch), { recursive: true });
  await writeFile(latch, 'damaged'); // counts as "on"
});
afterAll(() => archive[Symbol.asyncDispose]());

describe('names of keys of an instance with TDE', () => {
  const address = { host: 'db.example', port: 6379 };

  it('go over the loopback, or over TLS', async () => {
    const far = { address, remoteAddress: '10.0.0.1' };
    await expect(refuseClearNames(ARCHIVED, far, environment)).rejects.toMatchObject({
      ...{ code: 'TM_TDE_DENIED', context: { operation: 'clear-transport' } },
    });
    const without = { ...environment, stateDir: join(environment.stateDir, 'of another') };
    await refuseClearNames(ARCHIVED, far, without);
    await refuseClearNames(ARCHIVED, { address, remoteAddress: '127.0.0.1' }, environment);
    using tls = await openNodeTls({});
    const secured = { address: { ...address, tls }, remoteAddress: '10.0.0.1' };
    await refuseClearNames(ARCHIVED, secured, environment);
    expect(clearEnds(secured)).toEqual([]);
    expect(clearEnds(far)).toEqual(['10.0.0.1']);
  });
});

describe('a plain copy of a node', () => {
  const unknown = { instance: ARCHIVED, address: 'unknown' } as const;

  it('is not made while nobody tells where the node of an instance with TDE is', async () => {
    await expect(refuseTdeNode(NODE, [unknown], environment)).rejects.toMatchObject({
      ...{ code: 'TM_NODE_UNREACHABLE', exitCode: 16, context: { instance: ARCHIVED } },
      hint: expect.stringContaining('Sentinels') as unknown,
    });
  });

  it('is refused for good where another place of it is that of the node', async () => {
    const places = [unknown, { instance: ARCHIVED, address: NODE.address }];
    await expect(refuseTdeNode(NODE, places, environment)).rejects.toMatchObject({
      ...{ code: 'TM_TDE_DENIED', context: { operation: 'plain-copy' } },
    });
  });

  it('is made of a node that is elsewhere, and where the instance has no TDE', async () => {
    const places = [{ instance: ARCHIVED, address: ELSEWHERE }];
    await expect(refuseTdeNode(NODE, places, environment)).resolves.toBeUndefined();
    const without = { ...environment, stateDir: join(environment.stateDir, 'of another') };
    await expect(refuseTdeNode(NODE, [unknown], without)).resolves.toBeUndefined();
  });
});
