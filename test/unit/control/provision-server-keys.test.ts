import type { Json } from '@tidemark/control';
import { systemClock } from '@tidemark/system';
import { describe, expect, it } from 'vitest';
import { cloneHandler } from '../../../services/control/src/clone/clone-handler.ts';
import type { CloneParts } from '../../../services/control/src/clone/clone-attempt.ts';
import type { HandlerPorts } from '../../../services/control/src/handlers/handler-ports.ts';
import { restoreHandler } from '../../../services/control/src/handlers/restore.ts';
import { serverKeys } from '../../../services/control/src/provision/server-keys.ts';
import { ALICE, idleHandler, openDesk } from '../../support/job-desk.ts';
import { TempDir } from '../../support/temp-dir.ts';

const NAMES: Readonly<Record<string, readonly string[]>> = {
  localhost: ['::1', '127.0.0.1'],
  'db.example': ['192.0.2.7', '2001:db8::7'],
  'DB.EXAMPLE': ['192.0.2.7', '2001:db8::7'],
  'other.example': ['192.0.2.9', '192.0.2.7'],
};
const resolve = (name: string): Promise<readonly string[]> => Promise.resolve(NAMES[name] ?? []);

describe('keys of a server', () => {
  const same: readonly (readonly [string, string])[] = [
    ['redis://localhost:7000', 'redis://127.0.0.1:7000'],
    ['redis://localhost', 'rediss://someone@[::1]:6379'],
    ['redis://[::1]:7000', 'redis://[0:0:0:0:0:0:0:1]:7000'],
    ['redis://127.0.0.1:7000', 'redis://[::ffff:127.0.0.1]:7000'],
    ['redis://db.example:7000', 'redis://DB.EXAMPLE:7000'],
    ['redis://db.example:7000', 'redis://[2001:DB8:0::7]:7000'],
    ['redis://db.example:7000', 'redis://other.example:7000'],
    ['redis://gone.example:7000', 'redis://GONE.example:7000'],
  ];
  for (const [one, two] of same) {
    it(`have one in common for ${one} and ${two}`, async () => {
      const known = new Set(await serverKeys(one, resolve));
      expect((await serverKeys(two, resolve)).some((key) => known.has(key))).toBe(true);
    });
  }

  it('have none in common for another port or address', async () => {
    const keys = await serverKeys('redis://db.example:7000', resolve);
    expect(keys).toEqual(['target:192.0.2.7:7000', 'target:[2001:db8::7]:7000']);
    expect(await serverKeys('redis://db.example:7001', resolve)).not.toContain(keys[0]);
    expect(await serverKeys('redis://192.0.2.8:7000', resolve)).toEqual(['target:192.0.2.8:7000']);
  });
});

it('a clone and a restore do not write into one server at a time, nor do two clones', async () => {
  await using dir = await TempDir.create();
  const real = [restoreHandler({} as HandlerPorts), cloneHandler({} as CloneParts)];
  const handlers = real.map((handler) =>
    idleHandler(handler.kind, { exclusive: (order) => handler.exclusive(order) }),
  );
  using run = openDesk(dir.path, systemClock, { handlers });
  const into = async (url: string, name: string): Promise<Json> => ({
    ...{ target: { kind: 'address', url }, name },
    writesTo: await serverKeys(url, resolve),
  });
  const order = { instance: 'inst', actor: ALICE } as const;
  const first = await into('redis://localhost:7000', 'one');
  const { id } = await run.desk.submit({ ...order, kind: 'clone', request: first });
  const busy = { code: 'TM_JOB_BUSY', context: { job: id } };
  for (const kind of ['restore', 'clone'] as const) {
    const request = await into('redis://127.0.0.1:7000', 'two');
    await expect(run.desk.submit({ ...order, kind, request })).rejects.toMatchObject(busy);
    const elsewhere = await into('redis://127.0.0.1:7001', 'three');
    const other = await run.desk.submit({ ...order, kind, request: elsewhere });
    await run.desk.cancel(other.id, ALICE);
  }
});
