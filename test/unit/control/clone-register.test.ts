import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openInstanceLog } from '@tidemark/catalog';
import { loadConfig, type Workspace } from '@tidemark/workspace';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkpointToJson } from '../../../services/control/src/clone/checkpoint.ts';
import { cleanUpClone } from '../../../services/control/src/clone/clean-up.ts';
import type { CloneParts } from '../../../services/control/src/clone/clone-attempt.ts';
import { registerClone } from '../../../services/control/src/clone/register-clone.ts';
import { takeBackClone } from '../../../services/control/src/clone/take-back.ts';
import type { Job } from '../../../services/control/src/jobs/job.ts';
import type {
  Provisioned,
  ProvisionRequest,
} from '../../../services/control/src/provision/provisioner.ts';
import { SecretFolder } from '../../../services/control/src/provision/secrets.ts';
import { seededRandom, standingClock } from '../../support/crypto-ports.ts';
import { LOG_KEY } from '../../support/log-events.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { TempDir } from '../../support/temp-dir.ts';

const signal = new AbortController().signal;
const [clock, random] = [standingClock(5_000), seededRandom('clones')];

let dir: TempDir;
let path: string;
let workspace: Workspace;

beforeEach(async () => {
  dir = await TempDir.create();
  path = join(dir.path, 'tidemark.toml');
  await writeFile(
    path,
    `version = 1
[store]
url = "file://${join(dir.path, 'store')}"
[state]
dir = "${join(dir.path, 'state')}"
[keys]
provider = "ring"
ring = "${join(dir.path, 'ring')}"
`,
  );
  workspace = {
    ...{ store: new MemoryStore(), keys: { logKey: () => Promise.resolve(LOG_KEY) } },
    ...{ config: await loadConfig(path), askArchiver: () => Promise.resolve(null) },
  } as unknown as Workspace;
});
afterEach(() => dir[Symbol.asyncDispose]());

const asked = (id: string): ProvisionRequest => ({
  ...{ id, instance: 'orders', name: 'copy', passwordRef: null, closed: false },
  ...{ memoryBytes: 0, maxmemory: 0, databases: 16 },
  target: { kind: 'address', url: 'redis://127.0.0.1:7001', passwordRef: null, tls: null },
});
const provisioned = (port: number): Provisioned => ({
  ...{ kind: 'address', ownedBy: 'caller', passwordRef: null, tls: null, serverName: null },
  ...{ url: `redis://127.0.0.1:${port}`, publicUrl: `redis://owner@127.0.0.1:${port}` },
  dir: null,
});

const register = (id: string, port: number, createdMs: number): Promise<void> =>
  registerClone(
    asked(id),
    provisioned(port),
    { policy: null, by: 'alice', login: null, createdMs },
    { workspace, secrets: new SecretFolder(workspace.config), clock, random, signal },
  );

const urls = async (): Promise<readonly string[]> =>
  (await loadConfig(path)).instances.map(({ id, url }) => `${id} ${url}`);

describe('a clone that is registered', () => {
  it('is so once, however often its job does it', async () => {
    await register('job-1', 7001, 10);
    await register('job-1', 7001, 10);
    expect(await urls()).toEqual(['copy redis://127.0.0.1:7001']);
    const logKey = LOG_KEY;
    const { store } = workspace;
    const log = await openInstanceLog({ store, iid: 'copy', logKey, clock, random });
    expect(log.state).toMatchObject({ name: 'copy', createdMs: 10 });
  });

  it('refuses a name that another server has by now, and is not said to be protected', async () => {
    await register('job-1', 7001, 10);
    const exists = { code: 'TM_EXISTS', context: { instance: 'copy' } };
    await expect(register('job-2', 7002, 20)).rejects.toMatchObject(exists);
    expect(await urls()).toEqual(['copy redis://127.0.0.1:7001']);
  });

  it('refuses a name under which another host has made an instance', async () => {
    await register('job-1', 7001, 10);
    await writeFile(path, (await readFile(path, 'utf8')).replace(/\[\[instance\]\][^]*$/, ''));
    await expect(register('job-2', 7001, 20)).rejects.toMatchObject({ code: 'TM_EXISTS' });
  });

  it('is not captured by two hosts: one that did not finish it takes its entry out', async () => {
    await register('job-1', 7001, 10);
    const lines: string[] = [];
    const takeBack = async (phase: 'settling' | 'registering'): Promise<void> => {
      const checkpoint = checkpointToJson({
        ...{ phase, ttl: { mode: 'absolute' }, asked: asked('job-1') },
        ...{ provisioned: provisioned(7001), looked: null, restoreId: 'rs-1', replayed: null },
      });
      const { target } = asked('job-1');
      // Nothing asks its server: it may be the one that was handed over.
      const parts = { workspace, provisioners: {}, clock, random } as unknown as CloneParts;
      await takeBackClone({ register: true, target }, parts, {
        ...{ job: { id: 'job-1', instance: 'orders', state: 'succeeded' } as Job, checkpoint },
        keep: () => Promise.resolve(),
        log: (_, message) => void lines.push(message),
        signal: new AbortController().signal,
      });
    };
    await takeBack('settling');
    expect(await urls()).toEqual(['copy redis://127.0.0.1:7001']);
    await takeBack('registering');
    expect(await urls()).toEqual([]);
    expect(lines).toEqual([]);
  });

  it('is taken back without the one of another job', async () => {
    await register('job-1', 7001, 10);
    const clean = (port: number): Promise<void> => {
      const checkpoint = checkpointToJson({
        ...{ phase: 'registering', ttl: { mode: 'absolute' }, asked: asked('job-2') },
        ...{ provisioned: provisioned(port), looked: null, restoreId: null, replayed: null },
      });
      const provisioners = { of: () => ({ release: () => Promise.resolve() }) };
      const parts = { workspace, provisioners, clock, random } as unknown as CloneParts;
      return cleanUpClone(true, parts, {
        ...{ job: { instance: 'orders' } as Job, checkpoint },
        ...{ keep: () => Promise.resolve(), log: () => undefined },
        signal: new AbortController().signal,
      });
    };
    await clean(7002);
    expect(await urls()).toEqual(['copy redis://127.0.0.1:7001']);
    await clean(7001);
    expect(await urls()).toEqual([]);
  });
});
