import { EMPTY_INSTANCE_STATE, takeLease } from '@tidemark/catalog';
import { listUndoPacks, verifyRepo } from '@tidemark/restorer';
import { describe, expect, it } from 'vitest';
import { systemClock, systemRandom } from '@tidemark/system';
import { LOG_KEY } from '../../support/log-events.ts';
import { record, type Recorded } from '../../support/replay-run.ts';
import { ARCHIVED } from '../../support/test-archive.ts';
import { readBytes, realEnvironment, undo, writeBack } from '../../support/write-back/write-run.ts';

const FAR_MS = 4_000_000_000_000;

const changed = (): Promise<Recorded> =>
  record({
    during: [
      (client) => client.mset({ one: 'then', two: 'then', three: 'then', gone: 'then' }),
      async (client) => {
        await client.mset({ one: 'now', two: 'now', three: 'now', made: 'now' });
        await client.pexpireat('three', FAR_MS);
        await client.del('gone');
      },
    ],
  });

describe('an undo', () => {
  it('leaves keys that were touched since, names them, and takes the others back', async () => {
    await using recorded = await changed();
    const { client } = recorded;
    const { report } = await writeBack(recorded);
    expect(report).toMatchObject({ restored: 4, deleted: 1 });
    await client.set('one', 'by a client');
    await client.pexpireat('three', FAR_MS - 1);
    await client.set('made', 'by a client');
    const dry = await undo(recorded, report.id, { dryRun: true });
    expect(dry.report).toMatchObject({ state: 'planned', restored: 1, deleted: 1, conflicts: 3 });
    expect(await client.get('two')).toBe('then');
    const undone = await undo(recorded, report.id);
    expect(undone.report).toMatchObject({ state: 'partial', restored: 1, deleted: 1 });
    const why = Object.fromEntries(undone.report.left.map((left) => [left.key, left.why]));
    expect(why).toEqual({
      one: 'its value was changed since',
      three: 'its expiry was changed since',
      made: 'it was made since',
    });
    expect(await client.mget('one', 'two', 'gone', 'made')).toEqual([
      ...['by a client', 'now', null, 'by a client'],
    ]);
  });

  it('puts back all the same by the rule "overwrite", and can be undone itself', async () => {
    await using recorded = await changed();
    const { client } = recorded;
    const before = await readBytes(client);
    const { report } = await writeBack(recorded);
    await client.mset({ one: 'by a client', made: 'by a client' });
    const touched = await readBytes(client);
    const undone = await undo(recorded, report.id, { policy: 'overwrite' });
    expect(undone.report).toMatchObject({ state: 'succeeded', conflicts: 0 });
    expect(await readBytes(client)).toEqual(before);
    const back = await undo(recorded, undone.report.id);
    expect(back.report).toMatchObject({ state: 'succeeded', conflicts: 0 });
    expect(await readBytes(client)).toEqual(touched);
  });

  it('done twice changes nothing the second time', async () => {
    await using recorded = await changed();
    const before = await readBytes(recorded.client);
    const { report } = await writeBack(recorded);
    await undo(recorded, report.id);
    const again = await undo(recorded, report.id);
    expect(again.report).toMatchObject({ state: 'nothing', settled: 5, undo: null });
    expect(await readBytes(recorded.client)).toEqual(before);
  });

  it('knows values after a restart of the server, whatever the order of its tables', async () => {
    const members = Array.from({ length: 3_000 }, (_, i) => `member ${String(i)}`);
    await using recorded = await record({
      during: [
        async (client) => {
          await client.sadd('set', ...members);
          await client.hset('hash', ...members);
        },
        async (client) => {
          await client.srem('set', members[0]!);
          await client.hdel('hash', members[0]!);
        },
      ],
    });
    const { report } = await writeBack(recorded);
    expect(report.restored).toBe(2);
    await recorded.source.restart();
    const client = await recorded.source.connect();
    const undone = await undo(recorded, report.id);
    expect(undone.report).toMatchObject({ state: 'succeeded', restored: 2, conflicts: 0 });
    expect([await client.scard('set'), await client.hlen('hash')]).toEqual([2_999, 1_499]);
  });

  it('of a pack over its time is refused with the time; a write a day later deletes it', async () => {
    await using recorded = await changed();
    const { report } = await writeBack(recorded, { retainMs: 1 - 86_400_000 });
    const { store, keys, signal } = await realEnvironment(recorded);
    const [pack] = await listUndoPacks(ARCHIVED, { store, keys, signal });
    expect(pack).toMatchObject({ restore: report.id, keys: 5 });
    while (Date.now() <= (pack?.expiresMs ?? 0) + 86_400_000) await systemClock.sleep(5);
    await expect(undo(recorded, report.id)).rejects.toMatchObject({
      ...{ code: 'TM_UNDO_EXPIRED', context: { expiresMs: pack?.expiresMs } },
    });
    // An undo of another host that began in time still reads it.
    const lease = await takeLease({
      ...{ store, iid: ARCHIVED, logKey: LOG_KEY, clock: systemClock, random: systemRandom },
      ...{ purpose: 'restore', fromSecond: 2 ** 40, undoes: report.id },
      ...{ known: EMPTY_INSTANCE_STATE, onLost: (cause) => expect.fail(cause.message) },
    });
    await writeBack(recorded);
    expect(await listUndoPacks(ARCHIVED, { store, keys, signal })).toEqual([pack]);
    await lease[Symbol.asyncDispose]();
    await writeBack(recorded);
    expect(await listUndoPacks(ARCHIVED, { store, keys, signal })).toEqual([]);
    await expect(undo(recorded, report.id)).rejects.toMatchObject({ code: 'TM_NOT_FOUND' });
  });

  it('is there still after a clock that was ten years ahead, and the clock of the node was not', async () => {
    await using recorded = await changed();
    const { report } = await writeBack(recorded);
    const { store, keys, signal } = await realEnvironment(recorded);
    const clock = {
      nowMs: () => Date.now() + 3_650 * 86_400_000,
      monotonicMs: () => systemClock.monotonicMs(),
      sleep: (ms: number, until?: AbortSignal) => systemClock.sleep(ms, until),
    };
    await expect(undo(recorded, report.id, { environment: { clock } })).rejects.toMatchObject({
      code: 'TM_UNDO_EXPIRED',
    });
    await writeBack(recorded, { environment: { clock } });
    const [pack] = await listUndoPacks(ARCHIVED, { store, keys, signal });
    expect(pack).toMatchObject({ restore: report.id, keys: 5 });
  });

  it('reads only packs that are whole: a changed part is found, also by repo verify', async () => {
    await using recorded = await changed();
    const { client } = recorded;
    const { report } = await writeBack(recorded);
    const written = await readBytes(client);
    const { store, keys, signal } = await realEnvironment(recorded);
    const verify = async (): Promise<number> =>
      (await verifyRepo({ store, keys, signal, onProgress: () => undefined })).faultCount;
    expect(await verify()).toBe(0);
    const key = `v1/undo/${ARCHIVED}/${report.id}/${'0'.repeat(20)}`;
    const parts: Uint8Array[] = [];
    for await (const part of store.get(key)) parts.push(part);
    const bytes = Buffer.concat(parts);
    const at = bytes.length - 20;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    await store.delete(key);
    await store.putIfAbsent(
      key,
      (async function* () {
        await Promise.resolve();
        yield bytes;
      })(),
    );
    expect(await verify()).toBe(1);
    await expect(undo(recorded, report.id)).rejects.toMatchObject({
      code: 'TM_SEAL_CHUNK',
      context: { object: key },
    });
    expect(await readBytes(client)).toEqual(written);
  });
});

describe('keys whose expiry has passed', () => {
  it('are deleted where they are there, counted and named, and given back by an undo', async () => {
    const deadMs = Date.now() + 700;
    await using recorded = await record({
      during: [
        (client) => client.set('dies', 'then', 'PXAT', deadMs),
        (client) => client.set('dies', 'now', 'PXAT', FAR_MS),
      ],
    });
    const { client } = recorded;
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, deadMs - Date.now() + 50)));
    const before = await readBytes(client);
    const { report } = await writeBack(recorded);
    expect(report).toMatchObject({
      ...{ state: 'succeeded', restored: 0, deleted: 1, vanished: 1 },
      vanishedSample: [{ db: 0, key: 'dies' }],
    });
    expect(await client.exists('dies')).toBe(0);
    const again = await writeBack(recorded);
    expect(again.report).toMatchObject({ state: 'nothing', undo: null, vanished: 1 });
    await undo(recorded, report.id);
    expect(await readBytes(client)).toEqual(before);
  });
});
