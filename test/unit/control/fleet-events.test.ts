import type { BusMessage } from '@tidemark/bus';
import { createInstance } from '@tidemark/catalog';
import { StoreError } from '@tidemark/core';
import type { GetOptions, ObjectInfo } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import { expect, it } from 'vitest';
import type { LinkedParts } from '../../../services/control/src/fleet/fleet-parts.ts';
import { publishEvents } from '../../../services/control/src/fleet/publish-events.ts';
import { eventually } from '../../support/eventually.ts';
import { openDesk, QUIET } from '../../support/job-desk.ts';
import { LOG_KEY } from '../../support/log-events.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { TempDir } from '../../support/temp-dir.ts';

const denied = (): StoreError => new StoreError('TM_STORE_DENIED', 'the store does not allow it');

/** One instance of it cannot be read. */
class DeniedStore extends MemoryStore {
  denied: string | null = null;

  override head(key: string): Promise<ObjectInfo | null> {
    return this.#isDenied(key) ? Promise.reject(denied()) : super.head(key);
  }

  override get(key: string, options?: GetOptions): ReturnType<MemoryStore['get']> {
    if (this.#isDenied(key)) throw denied();
    return super.get(key, options);
  }

  #isDenied(key: string): boolean {
    return this.denied !== null && key.startsWith(`v1/instance/${this.denied}/log/`);
  }
}

it('an instance that cannot be read keeps the events of no other one back', async () => {
  await using dir = await TempDir.create();
  using desk = openDesk(dir.path, systemClock);
  const store = new DeniedStore();
  for (const iid of ['a', 'b', 'c']) {
    const ports = { store, iid, logKey: LOG_KEY, clock: systemClock, random: systemRandom };
    await createInstance({ ...ports, name: iid, createdMs: systemClock.nowMs() });
  }
  store.denied = 'a';
  const sent = new Set<string>();
  const publish = (_: string, messages: readonly BusMessage[]): Promise<void> => {
    for (const { key } of messages) sent.add(key);
    return Promise.resolve();
  };
  const parts = {
    ...{ state: desk.state, bus: { publish }, clock: systemClock, random: systemRandom },
    workspace: {
      store,
      keys: { logKey: () => Promise.resolve(LOG_KEY) },
      config: { limits: { rollMaxAgeMs: 1 } },
      catalog: { instances: () => [] },
    },
    logger: QUIET,
  } as unknown as LinkedParts;
  const over = new AbortController();
  const running = publishEvents(parts, over.signal);
  await eventually('the others', () => sent.has('c'), 20);
  expect([...sent].sort()).toEqual(['b', 'c']);
  store.denied = null;
  await eventually('it is published', () => sent.has('a'));
  over.abort(new Error('the test is over'));
  await running;
});
