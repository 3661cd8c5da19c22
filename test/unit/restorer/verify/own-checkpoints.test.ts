import { instanceCheckpointKey, instanceLogKey } from '@tidemark/archive';
import { openInstanceLog } from '@tidemark/catalog';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { verifyRepo } from '../../../../services/restorer/src/verify/verify-repo.ts';
import { seededRandom } from '../../../support/crypto-ports.ts';
import { buildRecord, MAGIC } from '../../../support/log-builder.ts';
import { LOG_KEY } from '../../../support/log-events.ts';
import { ENDED_MS } from '../../../support/retention-run.ts';
import { steppingClock } from '../../../support/stepping-clock.ts';
import { ARCHIVED, TestArchive } from '../../../support/test-archive.ts';

let archive: TestArchive;
beforeEach(async () => {
  archive = await TestArchive.begun();
});
afterEach(async () => {
  await archive[Symbol.asyncDispose]();
});

async function logUpTo(last: number, name: string): Promise<void> {
  const log = await openInstanceLog({
    ...{ store: archive.store, iid: ARCHIVED, logKey: LOG_KEY },
    ...{ clock: steppingClock(ENDED_MS), random: seededRandom(name) },
  });
  while (log.state.seq < last) {
    const labels = [{ key: name, value: log.state.seq.toString() }];
    const event = { type: 'BackupLabelled', backup: 'bk-0', by: 'ops', atMs: ENDED_MS } as const;
    await log.append(() => ({ ...event, labels }));
  }
}

function loseFrom(first: number, last: number): void {
  for (let seq = first; seq <= last; seq++) {
    archive.store.tamper(instanceLogKey(ARCHIVED, seq), null);
  }
}

it('a log whose end is lost is told by its checkpoint, one of another history is a fault', async () => {
  const { keys, signal } = await archive.environment();
  const { store } = archive;
  const faults = async (): Promise<readonly string[]> => {
    const found = await verifyRepo({ store, keys, signal, onProgress: () => undefined });
    return found.faults.map(({ code, message }) => `${code} ${message}`);
  };
  await logUpTo(260, 'first');
  const checkpoint = instanceCheckpointKey(ARCHIVED, 256);
  expect(store.keys()).toContain(checkpoint);
  expect(await faults()).toEqual([]);
  const whole = Buffer.from(store.objects.get(checkpoint) ?? Buffer.alloc(0));
  const header = whole.subarray(64, 64 + whole.readUInt32BE(12)).toString();
  const predecessor = whole.subarray(16, 48).toString('hex');
  const later = header.replace('"fold":1,', '"fold":2,').replace('"state":', '"more":0,"state":');
  const parts = { magic: MAGIC.instanceCheckpoint, header: later, predecessor };
  store.tamper(checkpoint, buildRecord(parts));
  expect(await faults()).toEqual([]); // another release makes another fold of the same entries
  store.tamper(checkpoint, whole);
  loseFrom(250, 260);
  const entry = instanceLogKey(ARCHIVED, 256);
  expect(await faults()).toEqual([`TM_LOG_GAP ${entry} is missing, ${checkpoint} is there`]);
  store.tamper(checkpoint, null);
  await logUpTo(260, 'other');
  store.tamper(checkpoint, whole);
  expect(await faults()).toEqual([`TM_LOG_CHAIN ${checkpoint} is of another history of the log`]);
});
