import { StoreError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import {
  decodeDocument,
  encodeDocument,
} from '../../../../services/restorer/src/feeder/process/document.ts';
import type {
  FromFeeder,
  Task,
} from '../../../../services/restorer/src/feeder/process/protocol.ts';
import {
  serveFeeder,
  type ServeFeederOptions,
} from '../../../../services/restorer/src/feeder/process/serve-feeder.ts';
import { openPlanned } from '../../../support/opened-plan.ts';
import { steppingClock } from '../../../support/stepping-clock.ts';
import { ARCHIVED, TestArchive } from '../../../support/test-archive.ts';

const OPEN: Task = {
  do: 'open',
  settings: {
    store: { kind: 'file', root: '/nowhere' },
    keys: { provider: 'ring', ringDir: '/nowhere' },
    instance: ARCHIVED,
    instanceKeys: { wrapWith: null, allowed: [] },
  },
};

/** Says some tasks, one after the answer to the other, and collects what comes back. */
async function converse(
  tasks: readonly Task[],
  open: ServeFeederOptions['open'],
): Promise<readonly FromFeeder[]> {
  const said: FromFeeder[] = [];
  let answered: () => void = () => undefined;
  async function* input(): AsyncGenerator<Buffer> {
    for (const [id, task] of tasks.entries()) {
      const answer = new Promise<void>((resolve) => (answered = resolve));
      yield Buffer.from(encodeDocument({ id, task }));
      await answer;
    }
  }
  await serveFeeder({
    input: input(),
    write: (line) => {
      const message = decodeDocument(line) as FromFeeder;
      said.push(message);
      if ('id' in message) answered();
    },
    open,
    monotonicMs: () => 0,
  });
  return said;
}

describe('serveFeeder()', () => {
  it('does what it is told in turn, and tells of a phase at most every tenth of a second', async () => {
    await using archive = await TestArchive.begun();
    for (const name of ['a', 'b', 'c']) {
      archive.write(['SET', name, '1']);
      await archive.roll();
    }
    const environment = await archive.environment();
    const { store, keys } = environment;
    const point = { kind: 'offset', offset: archive.end, timeline: null } as const;
    const request = { instance: ARCHIVED, point, ttl: { mode: 'absolute' } as const };
    using opened = await openPlanned(request, environment);
    const order = { plan: opened.plan, selector: null, skip: null, withFunctions: false };
    const tasks: Task[] = [
      OPEN,
      { do: 'order', order },
      { do: 'verify', depth: 'full' },
      { do: 'gives' },
    ];
    const sources = { store, keys, clock: steppingClock(0) };
    const said = await converse(tasks, () => Promise.resolve(sources));
    expect(said).toEqual([
      { id: 0, result: null },
      {
        id: 1,
        result: {
          selection: null,
          sealedBytes: opened.plan.sealedBytes,
          feedBytes: opened.plan.feedBytes,
          commands: 3,
        },
      },
      { progress: expect.objectContaining({ phase: 'verify' }) as unknown },
      { id: 2, result: null },
      { id: 3, result: true },
    ]);
  });

  it('tells of what goes wrong with its code, and of what is out of turn', async () => {
    const down = new StoreError('TM_STORE_URL', 'no such folder', {
      context: { root: '/nowhere' },
    });
    const said = await converse([OPEN, { do: 'gives' }, { do: 'finished' }, { do: 'unfeed' }], () =>
      Promise.reject(down),
    );
    expect(said).toMatchObject([
      { id: 0, error: { kind: 'StoreError', code: 'TM_STORE_URL', context: { root: '/nowhere' } } },
      { id: 1, error: { code: 'TM_INTERNAL' } },
      { id: 2, error: { code: 'TM_INTERNAL' } },
      { id: 3, result: null },
    ]);
  });

  it('ends with its input, and refuses what is no document', async () => {
    const options = { write: () => undefined, open: () => Promise.reject(new Error('not asked')) };
    const serve = (...lines: readonly string[]): Promise<void> =>
      serveFeeder({
        ...options,
        monotonicMs: () => 0,
        input: (async function* () {
          for (const line of lines) yield await Promise.resolve(Buffer.from(line));
        })(),
      });
    await expect(serve()).resolves.toBeUndefined();
    await expect(serve('{"id":1')).resolves.toBeUndefined();
    await expect(serve('no document\n')).rejects.toBeInstanceOf(SyntaxError);
  });
});
