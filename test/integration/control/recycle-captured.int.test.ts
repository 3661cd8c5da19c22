import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openInstanceLog, readInstanceLog, type InstanceEvent } from '@tidemark/catalog';
import { systemClock, systemRandom } from '@tidemark/system';
import { loadConfig, removeInstance, Workspace } from '@tidemark/workspace';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Actor } from '../../../services/control/src/jobs/job.ts';
import { RecycleBin } from '../../../services/control/src/recycle/recycle-bin.ts';
import { ArchiverBench, INSTANCE, type RunningArchiver } from '../../support/archiver-run.ts';

const DAY_MS = 86_400_000;
const OPS: Actor = { name: 'ops', via: 'token' };
const { signal } = new AbortController();

let bench: ArchiverBench;
let archiver: RunningArchiver;
const warnings: string[] = [];
const opened: Workspace[] = [];

/** A host with this state folder; one without an archiver is any other. */
async function openBin(state?: string): Promise<RecycleBin> {
  const configPath = join(bench.dir, `${state ?? 'own'}.toml`);
  await writeFile(
    configPath,
    `version = 1
[store]
url = "file://${join(bench.dir, 'store')}"
[state]
dir = "${bench.stateDir(state)}"
[keys]
provider = "ring"
ring = "${join(bench.dir, 'ring')}"
[archiver]
expire = true
[[instance]]
id = "${INSTANCE}"
url = "redis://127.0.0.1:${bench.server.port}"
aof_dir = "${bench.server.aofDir}"
`,
  );
  const workspace = await Workspace.open({ configPath });
  opened.push(workspace);
  return new RecycleBin({
    ...{ workspace, clock: systemClock, random: systemRandom },
    audit: { append: () => undefined },
    warn: (message) => void warnings.push(message),
  });
}

async function append(event: InstanceEvent): Promise<void> {
  const { store, keys } = bench;
  const logKey = await keys.logKey(INSTANCE);
  const ports = { clock: systemClock, random: systemRandom };
  const log = await openInstanceLog({ store, iid: INSTANCE, logKey, ...ports });
  await log.append(() => event);
}

async function entryTypes(): Promise<readonly string[]> {
  const { store, keys } = bench;
  const types: string[] = [];
  const log = { store, iid: INSTANCE, logKey: await keys.logKey(INSTANCE) };
  for await (const batch of readInstanceLog(log))
    types.push(...batch.map(({ event }) => event.type));
  return types;
}

function recycled(atMs: number, untilMs: number): InstanceEvent {
  return { type: 'InstanceRecycled', node: null, by: 'ops', untilMs, atMs };
}

beforeAll(async () => {
  bench = await ArchiverBench.open();
  archiver = await bench.begin();
});

afterAll(async () => {
  for (const workspace of opened) workspace[Symbol.dispose]();
  await bench[Symbol.asyncDispose]();
});

describe('an instance that is captured', () => {
  it('is not put into the bin while the archiver of another host has it', async () => {
    const bin = await openBin('elsewhere');
    await expect(bin.put(INSTANCE, OPS, signal)).rejects.toMatchObject({ code: 'TM_LOG_OWNER' });
    const { instances } = await loadConfig(join(bench.dir, 'elsewhere.toml'));
    expect(instances.map(({ id }) => id)).toEqual([INSTANCE]);
    expect(await bin.list(signal)).toEqual([]);
    expect((await archiver.status()).state).toBe('caught-up');
  });

  it('is captured no more from the moment it lies in the bin, though a host still names it', async () => {
    await archiver.ask('detach');
    // A release that was killed before it wrote the configuration.
    await append(recycled(Date.now(), Date.now() + DAY_MS));
    await expect(archiver.ask('attach')).rejects.toMatchObject({ code: 'TM_RECYCLE_STATE' });
    const bin = await openBin();
    await expect(bin.destroy(INSTANCE, INSTANCE, OPS, signal)).rejects.toMatchObject({
      ...{ code: 'TM_RECYCLE_STATE', context: { instance: INSTANCE } },
    });
    expect((await bin.put(INSTANCE, OPS, signal)).state).toBe('kept');
    expect((await loadConfig(join(bench.dir, 'own.toml'))).instances).toEqual([]);
  });

  it('is not destroyed when it was captured since it came into the bin, until it is released anew', async () => {
    await append({ type: 'InstanceReturned', by: 'ops', atMs: Date.now() });
    // Its release was cut short two days ago, and an archiver knew nothing of it.
    await append(recycled(Date.now() - 2 * DAY_MS, Date.now() - DAY_MS));
    const bin = await openBin();
    await removeInstance(join(bench.dir, 'own.toml'), INSTANCE);
    await expect(bin.destroy(INSTANCE, INSTANCE, OPS, signal)).rejects.toMatchObject({
      code: 'TM_BUSY',
      context: { instance: INSTANCE, lastEntryMs: expect.any(Number) as number },
    });
    await bin.sweep(signal);
    expect((await bin.get(INSTANCE, signal)).state).toBe('due');
    const anew = await openBin();
    expect((await anew.put(INSTANCE, OPS, signal)).state).toBe('kept');
    expect((await anew.destroy(INSTANCE, INSTANCE, OPS, signal)).state).toBe('destroyed');
    // Killed in between, it would be kept by nothing and not be given up either.
    const types = await entryTypes();
    const held = types.lastIndexOf('LeaseReleased');
    expect(held).toBeGreaterThan(types.lastIndexOf('InstanceDestroyed'));
    expect(held).toBeLessThan(types.lastIndexOf('KeyShredded'));
  });
});
