import { join } from 'node:path';
import { backoffMs, fixedLocator, openNodeTls, pauseBeforeRetry } from '@tidemark/client';
import { NodeError, UsageError } from '@tidemark/core';
import { systemClock } from '@tidemark/system';
import { describe, expect, it } from 'vitest';
import { TempDir } from '../../support/temp-dir.ts';
import { swapFile } from '../../support/tls/certificate-files.ts';
import { TestCa } from '../../support/tls/certificates.ts';

const least = (failures: number, error: unknown): number => backoffMs(failures, error, () => 0);
const most = (failures: number, error: unknown): number => backoffMs(failures, error, () => 1);

describe('backoffMs()', () => {
  it('is anywhere between nothing and a bound that doubles up to 30 s', () => {
    const lost = new NodeError('TM_NODE_UNREACHABLE', 'gone');
    expect([0, 1, 2, 7, 8, 500].map((n) => most(n, lost))).toEqual([
      200, 400, 800, 25_600, 30_000, 30_000,
    ]);
    expect(least(500, lost)).toBe(0);
    expect(most(3, new Error('of another kind'))).toBe(1_600);
    for (let i = 0; i < 100; i++) expect(backoffMs(1, lost)).toBeLessThan(400);
  });

  it('is 30 s to 5 min for what a person must mend', () => {
    for (const error of [
      new NodeError('TM_NODE_AUTH', 'no'),
      new NodeError('TM_NODE_RIGHTS', 'no'),
      new NodeError('TM_TLS_VERIFY', 'no'),
      new NodeError('TM_TLS_CLIENT_CERT', 'no'),
      new NodeError('TM_TLS_PROTOCOL', 'no'),
      new UsageError('TM_TLS_SETTINGS', 'no'),
    ]) {
      expect([0, 1, 2, 3, 500].map((n) => least(n, error))).toEqual(Array(5).fill(30_000));
      expect([0, 1, 2, 3, 500].map((n) => most(n, error))).toEqual([
        60_000, 120_000, 240_000, 300_000, 300_000,
      ]);
    }
  });

  it('is short at first where the node closed without a word', () => {
    const context = { reason: 'closed' };
    const closed = new NodeError('TM_TLS_CLIENT_CERT', 'closed', { context });
    expect(most(4, closed)).toBe(3_200);
    expect(least(5, closed)).toBe(30_000);
  });
});

describe('pauseBeforeRetry()', () => {
  it('ends when other certificates come into force, when the signal says so, and else in time', async () => {
    await using temp = await TempDir.create();
    const ca = await TestCa.create('CA');
    const caFile = join(temp.path, 'ca.pem');
    await swapFile(caFile, ca.cert);
    using tls = await openNodeTls({ caFiles: [caFile] });
    const locator = fixedLocator({ host: 'h', port: 1, secure: true, tls });
    const stop = new AbortController();
    const wait = { clock: systemClock, signal: stop.signal, locator };
    const woken = pauseBeforeRetry(3_600_000, wait);
    await swapFile(caFile, (await TestCa.create('next')).cert);
    await tls.reload();
    await woken;
    const stopped = pauseBeforeRetry(3_600_000, wait);
    stop.abort(new Error('enough'));
    await stopped;
    const plain = fixedLocator({ host: 'h', port: 1 });
    await pauseBeforeRetry(1, { ...wait, signal: new AbortController().signal, locator: plain });
  });
});
