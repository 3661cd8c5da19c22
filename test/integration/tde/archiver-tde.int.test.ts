import { rm, writeFile } from 'node:fs/promises';
import { instanceLogKey, tdeMarkerKey, wrappedKeyKey } from '@tidemark/archive';
import {
  enableTde,
  latchFilePath,
  openInstanceLog,
  readTde,
  type InstanceLog,
  type LatchPorts,
  type SnapshotStored,
  type Tde,
} from '@tidemark/catalog';
import { collectBytes } from '@tidemark/core';
import { parseWrappedDataKey } from '@tidemark/crypto';
import { systemClock, systemRandom } from '@tidemark/system';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildAof } from '../../support/aof-run.ts';
import { ArchiverBench, INSTANCE, waitFor } from '../../support/archiver-run.ts';

const [clock, random] = [systemClock, systemRandom];
const EVERYWHERE = { log: 'on', marker: 'on', archiver: 'on' };

beforeAll(buildAof);

async function ports(bench: ArchiverBench): Promise<LatchPorts> {
  const logKey = await bench.keys.logKey(INSTANCE);
  return { store: bench.store, logKey, stateDir: bench.stateDir(), clock, random };
}

async function openLog(bench: ArchiverBench): Promise<InstanceLog> {
  return openInstanceLog({ ...(await ports(bench)), iid: INSTANCE });
}

async function enable(bench: ArchiverBench): Promise<Tde> {
  const { keys } = bench;
  const admin = await keys.adminOf('ring');
  const request = { iid: INSTANCE, key: null, admin };
  return enableTde(await openLog(bench), request, { ...(await ports(bench)), keys });
}

async function ask(bench: ArchiverBench): Promise<Tde> {
  return readTde(INSTANCE, { ...(await ports(bench)), state: (await openLog(bench)).state });
}

async function snapshots(bench: ArchiverBench): Promise<readonly SnapshotStored[]> {
  return (await bench.events('SnapshotStored')) as SnapshotStored[];
}

describe('TDE of a captured instance', () => {
  it('is enabled by the running archiver once a full backup under its key stands', async () => {
    await using bench = await ArchiverBench.open();
    const archiver = await bench.begin();
    const tde = await enable(bench);
    expect(tde).toMatchObject({ state: 'modifying', latched: true, witnesses: EVERYWHERE });
    const answer = (await archiver.ask('rekey')) as { state: string; backup: string };
    expect(answer.state).toBe('enabled');
    expect(await ask(bench)).toMatchObject({ state: 'enabled', backup: answer.backup });
    const stored = (await snapshots(bench)).find(({ backup }) => backup === answer.backup);
    expect(stored?.mode).toBe('manual');
    const path = wrappedKeyKey(INSTANCE, stored?.object.dekId ?? '', 1);
    const bytes = await collectBytes(bench.store.get(path), 20_000, () => new Error('too long'));
    expect(parseWrappedDataKey(bytes)).toMatchObject(tde.key ?? {});
    // Asked again it changes nothing, and no second backup is made.
    const count = (await snapshots(bench)).length;
    expect(await archiver.ask('rekey')).toEqual(answer);
    expect(await snapshots(bench)).toHaveLength(count);
  });

  it('stays modifying without an archiver, and is enabled by the next one that runs', async () => {
    await using bench = await ArchiverBench.open();
    await enable(bench);
    expect(await ask(bench)).toMatchObject({ state: 'modifying', latched: true });
    const archiver = bench.start();
    await archiver.until('tde-enabled');
    expect(await ask(bench)).toMatchObject({ state: 'enabled', witnesses: EVERYWHERE });
  });

  it('is held up by the archiver where log and marker were set back or its folder is new', async () => {
    await using bench = await ArchiverBench.open();
    await enable(bench);
    const { seq } = (await openLog(bench)).state;
    for (let at = 1; at <= seq; at++) await bench.store.delete(instanceLogKey(INSTANCE, at));
    await bench.store.delete(tdeMarkerKey(INSTANCE));
    const archiver = bench.start();
    await archiver.until('tde-enabled');
    expect((await ask(bench)).witnesses).toEqual(EVERYWHERE);
    await archiver.stop();
    await rm(latchFilePath(bench.stateDir(), INSTANCE));
    bench.start();
    await waitFor(async () => (await ask(bench)).witnesses.archiver === 'on');
  });

  it('captures nothing while only a damaged place says that it is on', async () => {
    await using bench = await ArchiverBench.open();
    await enable(bench);
    const { seq } = (await openLog(bench)).state;
    for (let at = 1; at <= seq; at++) await bench.store.delete(instanceLogKey(INSTANCE, at));
    await bench.store.delete(tdeMarkerKey(INSTANCE));
    await writeFile(latchFilePath(bench.stateDir(), INSTANCE), 'damaged');
    const ended = await bench.start().done.then(
      () => null,
      (cause: unknown) => cause,
    );
    expect(ended).toMatchObject({ code: 'TM_LOG_AUTH', context: { iid: INSTANCE } });
    expect((await openLog(bench)).state.writers).toHaveLength(1);
    expect(await bench.events('SegmentStored', 'SnapshotStored')).toEqual([]);
  });
});
