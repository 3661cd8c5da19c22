import { rename } from 'node:fs/promises';
import { UsageError } from '@tidemark/core';
import { beforeAll, describe, expect, it } from 'vitest';
import type {
  InstanceTarget,
  UnreadInstance,
} from '../../../services/archiver/src/open-capture.ts';
import { buildAof } from '../../support/aof-run.ts';
import { ArchiverBench, INSTANCE, waitFor } from '../../support/archiver-run.ts';

beforeAll(buildAof, 120_000);

describe('an archiver of several instances, one of which cannot be captured', () => {
  it('goes on with the others, says what ails that one, and takes it up when it is well', async () => {
    await using bench = await ArchiverBench.open();
    await bench.register('second');
    const away = `${bench.server.aofDir}-away`;
    const instances = [bench.target(), { ...bench.target('second'), aofDir: away }];
    const archiver = bench.start({ instances });
    await archiver.until('caught-up');
    await waitFor(async () => (await archiver.status('second')).state === 'failed');
    expect((await archiver.status('second')).failure).toMatchObject({
      code: 'TM_AOF_DIR',
      hint: expect.stringContaining('appenddirname') as unknown,
    });
    await expect(archiver.ask('roll', 'second')).rejects.toMatchObject({ code: 'TM_AOF_DIR' });
    expect(await archiver.status()).toMatchObject({ state: 'caught-up', failure: null });
    await archiver.ask('roll');
    // Its folder appears: the next try finds it.
    await archiver.ask('detach');
    await rename(bench.server.aofDir, away);
    await waitFor(async () => (await archiver.status('second')).state === 'caught-up');
    expect((await archiver.status('second')).failure).toBeNull();
    await archiver.stop();
  });

  it('begins the others, and tries what cannot be read of that one again, until it can', async () => {
    await using bench = await ArchiverBench.open();
    await bench.register('second');
    const fault = new UsageError('TM_TLS_SETTINGS', 'the certificate expired', { hint: 'renew' });
    let [reads, isMended] = [0, false];
    const read = (): Promise<InstanceTarget> => {
      reads += 1;
      return isMended ? Promise.resolve(bench.target()) : Promise.reject(fault);
    };
    const archiver = bench.start({
      instances: [{ id: INSTANCE, read }, bench.target('second')],
    });
    await archiver.until('caught-up');
    await archiver.until('capture-failed');
    expect((await archiver.status('second')).failure).toBeNull();
    expect((await archiver.status()).failure).toMatchObject({
      ...{ code: 'TM_TLS_SETTINGS', message: 'the certificate expired', hint: 'renew' },
    });
    await archiver.ask('detach', 'second'); // one folder, one capture
    isMended = true;
    await waitFor(async () => (await archiver.status()).state === 'caught-up');
    expect((await archiver.status()).failure).toBeNull();
    const readsOnce = reads;
    await archiver.ask('roll');
    expect(reads).toBe(readsOnce);
    await archiver.stop();
  });

  it('ends with the first fault when none of all can be read', async () => {
    await using bench = await ArchiverBench.open();
    const unread = (id: string): UnreadInstance => ({
      id,
      read: () => Promise.reject(new UsageError('TM_TLS_SETTINGS', `no certificate for ${id}`)),
    });
    const archiver = bench.start({ instances: [unread(INSTANCE), unread('second')] });
    await expect(archiver.done).rejects.toMatchObject({
      ...{ code: 'TM_TLS_SETTINGS', exitCode: 2, message: `no certificate for ${INSTANCE}` },
    });
  });

  it('closes the timeline of one that is removed while it cannot be captured', async () => {
    await using bench = await ArchiverBench.open();
    await bench.register('second');
    await (await bench.begin()).stop();
    const nowhere = { ...bench.target(), aofDir: `${bench.server.dir}/nowhere` };
    const archiver = bench.start({ instances: [bench.target('second'), nowhere] });
    await archiver.until('capture-failed');
    expect(await archiver.status()).toMatchObject({
      state: 'failed',
      failure: { code: 'TM_AOF_DIR' },
    });
    await archiver.ask('detach');
    expect((await bench.events()).slice(-2)).toMatchObject([
      { type: 'TimelineClosed', reason: 'detached' },
      { type: 'Released' },
    ]);
    await archiver.stop();
  });

  it('leaves a log that another archiver owns alone, and goes on with the others', async () => {
    await using bench = await ArchiverBench.open();
    await bench.register('second');
    const other = bench.start({ state: 'other', instances: [bench.target('second')] });
    await other.until('caught-up');
    const both = bench.start({ instances: [bench.target(), bench.target('second')] });
    await both.until('caught-up');
    await waitFor(async () => (await both.status('second')).state === 'failed');
    expect((await both.status('second')).failure).toMatchObject({
      code: 'TM_LOG_OWNER',
      hint: expect.stringContaining('--take-over') as unknown,
    });
    await expect(both.ask('roll', 'second')).rejects.toMatchObject({ code: 'TM_LOG_OWNER' });
    await both.ask('roll', INSTANCE);
    await both.stop();
    await other.ask('roll', 'second'); // nobody took it away
    await other.stop();
  });

  it('ends with the error when none can be captured and time will not mend it', async () => {
    await using bench = await ArchiverBench.open();
    const nowhere = { ...bench.target(), aofDir: `${bench.server.dir}/nowhere` };
    const stranger = bench.target('stranger');
    await expect(bench.start({ instances: [nowhere] }).done).rejects.toMatchObject({
      ...{ code: 'TM_AOF_DIR', exitCode: 2 },
    });
    await expect(bench.start({ instances: [stranger] }).done).rejects.toMatchObject({
      ...{ code: 'TM_NOT_FOUND', exitCode: 10, context: { iid: 'stranger' } },
      hint: expect.stringContaining('is it mounted') as unknown,
    });
  });
});
