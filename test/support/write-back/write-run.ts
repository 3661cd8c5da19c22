import {
  restoreToOriginal,
  undoRestore,
  type RestoreEnvironment,
  type UndoOutcome,
  type UndoRequest,
  type WriteBackOutcome,
  type WriteBackRequest,
} from '@tidemark/restorer';
import type { SelectorSpec } from '@tidemark/selector';
import { systemClock, systemRandom } from '@tidemark/system';
import type { Redis } from 'ioredis';
import type { Recorded } from '../replay-run.ts';
import { ARCHIVED } from '../test-archive.ts';

/** Every key of every database. */
export const EVERY_KEY: SelectorSpec = {
  include: [{ kind: 'glob', pattern: '*' }],
  ...{ exclude: [], dbs: null, excludeDbs: [], types: null, excludeTypes: [] },
};

/** The running original of a recorded archive, on another port when something stands between. */
export function originalOf(
  recorded: Recorded,
  changes: { readonly port?: number; readonly username?: string; readonly password?: string } = {},
): WriteBackRequest['live'] {
  const { port = recorded.source.port, ...user } = changes;
  return { latencyMaxMs: 500, rate: null, address: { host: '127.0.0.1', port, ...user } };
}

/** What a restore of a recorded archive runs on, in real time. */
export async function realEnvironment(
  recorded: Recorded,
  changes: Partial<RestoreEnvironment> = {},
): Promise<RestoreEnvironment> {
  const environment = await recorded.archive.environment();
  return { ...environment, clock: systemClock, random: systemRandom, ...changes };
}

/** Puts keys of the original back as they were at the end of a part of the recording. */
export async function writeBack(
  recorded: Recorded,
  changes: Partial<WriteBackRequest> & {
    readonly part?: number;
    readonly environment?: Partial<RestoreEnvironment>;
  } = {},
): Promise<WriteBackOutcome> {
  const { part = 0, environment, ...request } = changes;
  return restoreToOriginal(
    {
      instance: ARCHIVED,
      point: { kind: 'offset', offset: recorded.ends[part] ?? 0n, timeline: null },
      ttl: { mode: 'absolute' },
      selector: EVERY_KEY,
      live: originalOf(recorded),
      policy: 'skip',
      retainMs: 3_600_000,
      ...request,
    },
    await realEnvironment(recorded, environment),
  );
}

/** Undoes a write-back of the original. */
export async function undo(
  recorded: Recorded,
  restore: string,
  changes: Partial<UndoRequest> & { readonly environment?: Partial<RestoreEnvironment> } = {},
): Promise<UndoOutcome> {
  const { environment, ...request } = changes;
  return undoRestore(
    {
      ...{ instance: ARCHIVED, restore, live: originalOf(recorded) },
      ...{ policy: 'skip', retainMs: 3_600_000, dryRun: false },
      ...request,
    },
    await realEnvironment(recorded, environment),
  );
}

/** The bytes of every key: DUMP without its tail and the expiry, by database and key in hex. */
export async function readBytes(client: Redis): Promise<Map<string, string>> {
  const bytes = new Map<string, string>();
  const info = await client.info('keyspace');
  for (const [, db = '0'] of info.matchAll(/^db(\d+):/gm)) {
    await client.select(Number(db));
    for (const key of await client.keysBuffer('*')) {
      const [dump, expiry] = await Promise.all([
        client.dumpBuffer(key),
        client.call('PEXPIRETIME', key) as Promise<number>,
      ]);
      const value = dump.subarray(0, -10).toString('base64');
      bytes.set(`${db} ${key.toString('hex')}`, `${expiry.toString()} ${value}`);
    }
  }
  await client.select(0);
  return bytes;
}
