import { TidemarkError } from '@tidemark/core';
import type { DataKey, KeyContext, WrappedDataKey } from '@tidemark/crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FeedCall, Feeder } from '../../../../services/restorer/src/feeder/feeder.ts';
import { LocalFeeder } from '../../../../services/restorer/src/feeder/local-feeder.ts';
import type { WantedPoint } from '../../../../services/restorer/src/plan/make-plan.ts';
import type { RestoreEnvironment } from '../../../../services/restorer/src/run/environment.ts';
import {
  preparePlan,
  type PreparedPlan,
} from '../../../../services/restorer/src/run/prepared-plan.ts';
import { MemoryKeys } from '../../../support/memory-keys.ts';
import { patternBytes } from '../../../support/pattern.ts';
import { selecting } from '../../../support/selected-log.ts';
import { SHIP_KEYS } from '../../../support/ship-harness.ts';
import { ARCHIVED, TestArchive } from '../../../support/test-archive.ts';

/** Keeps the buffers of the data keys that it has handed out. */
class WatchedKeys extends MemoryKeys {
  readonly handed: Buffer[] = [];
  readonly ids: string[] = [];

  override async unwrapDataKey(wrapped: WrappedDataKey, context: KeyContext): Promise<DataKey> {
    const dataKey = await SHIP_KEYS.unwrapDataKey(wrapped, context);
    this.handed.push(dataKey.key);
    this.ids.push(context.dekId);
    return dataKey;
  }

  /** How many are handed out and not zero-filled. */
  get held(): number {
    return this.handed.filter((key) => !key.equals(Buffer.alloc(32))).length;
  }
}

let archive: TestArchive;
let keys: WatchedKeys;
let environment: RestoreEnvironment;
beforeEach(async () => {
  archive = await TestArchive.begun();
  archive.write(['SET', 'a', '1']);
  await archive.roll();
  archive.write(['SET', 'large', patternBytes(400_000)], ['SET', 'b', '1']);
  await archive.roll();
  keys = new WatchedKeys();
  environment = { ...(await archive.environment()), keys };
});
afterEach(() => archive[Symbol.asyncDispose]());

const prepare = (more: { selector?: ReturnType<typeof selecting>; point?: WantedPoint } = {}) =>
  preparePlan(
    {
      instance: ARCHIVED,
      point: { kind: 'offset', offset: archive.end, timeline: null },
      ttl: { mode: 'absolute' },
      ...more,
    },
    environment,
  );
const CALL: FeedCall = {
  ...{ listenHost: '127.0.0.1', allowFrom: '127.0.0.1', port: 0, user: 'u', rdbVersion: null },
  ...{
    password: 'p'.repeat(16),
    replicationId: '0'.repeat(40),
    baseOffset: 1n,
    resume: false,
    tls: null,
  },
  form: {
    target: { product: 'redis', versionNumber: 8_00_00, databases: 16, commands: null },
    guardFieldPersist: false,
  },
};
const known = (): Promise<boolean> => Promise.resolve(true);
const objectWith = (part: string): string =>
  archive.store.keys().find((key) => key.includes(part))!;
function damage(key: string, at: number): void {
  const bytes = Buffer.from(archive.store.objects.get(key)!);
  bytes.writeUInt8(bytes[at]! ^ 1, at);
  archive.store.tamper(key, bytes);
}
const codeOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
  } catch (error) {
    if (error instanceof TidemarkError) return error.code;
    throw error;
  }
  return 'none';
};

describe('data keys of a feeder', () => {
  it('are held from the order to its end, and no longer', async () => {
    const prepared = await prepare();
    expect(keys.held).toBeGreaterThan(1);
    await prepared.feeder.verify('full');
    await prepared[Symbol.asyncDispose]();
    expect([keys.handed.length > 1, keys.held]).toEqual([true, 0]);
  });

  it('are zero-filled when a look at marks or commands is over, before there is a plan', async () => {
    const held: number[] = [];
    const point = { kind: 'before', offset: 0n, timeline: null } as const;
    const watch = (
      instance: string,
      ports: ConstructorParameters<typeof LocalFeeder>[1],
    ): Feeder => {
      const feeder = new LocalFeeder(environment, ports);
      const order = feeder.order.bind(feeder);
      feeder.order = (asked) => {
        held.push(keys.handed.length, keys.held);
        return order(asked);
      };
      expect(instance).toBe(ARCHIVED);
      return feeder;
    };
    const request = { instance: ARCHIVED, point, ttl: { mode: 'absolute' } as const };
    await using _ = await preparePlan(request, { ...environment, openFeeder: watch });
    expect(held[0]).toBeGreaterThan(0);
    // Those of marks are held until the plan is made, those of a look not even so long.
    expect(held[1]).toBe(0);
  });

  it.each<[string, () => Promise<void> | void, Parameters<typeof prepare>[0], string]>([
    [
      'a wrapped key is missing',
      async () => {
        await (await prepare())[Symbol.asyncDispose]();
        // One was handed out before it.
        const second = keys.ids.find((id) => id !== keys.ids[0])!;
        keys.handed.length = 0;
        archive.store.tamper(objectWith(`/${second}/`), null);
      },
      {},
      'TM_STORE_MISSING',
    ],
    [
      'a footer is damaged',
      () => damage(objectWith('/seg/'), archive.store.objects.get(objectWith('/seg/'))!.length - 9),
      { selector: selecting('a') },
      'TM_SEAL_CHUNK',
    ],
  ])('are zero-filled when the order is refused: %s', async (_, harm, wanted, code) => {
    await harm();
    expect(await codeOf(prepare(wanted))).toBe(code);
    expect([keys.handed.length > 0, keys.held]).toEqual([true, 0]);
  });

  it.each<[string, (prepared: PreparedPlan) => Promise<unknown>]>([
    ['a verification finds damage', ({ feeder }) => feeder.verify('full')],
    ['a forecast finds damage', ({ feeder }) => feeder.forecast(0)],
    ['a look for expired keys finds damage', ({ feeder }) => feeder.dyingKeys(0)],
  ])('are zero-filled at the end when %s', async (_, work) => {
    const prepared = await prepare();
    damage(objectWith('/seg/'), 200_000);
    expect(await codeOf(work(prepared))).toBe('TM_SEAL_CHUNK');
    expect(keys.held).toBeGreaterThan(0);
    await prepared[Symbol.asyncDispose]();
    expect(keys.held).toBe(0);
  });

  it('are zero-filled with a feed that nobody has asked for', async () => {
    const { feeder } = await prepare();
    const feed = await feeder.feed(CALL, known);
    const finished = codeOf(feed.finished());
    await feeder[Symbol.asyncDispose]();
    expect([await finished, keys.held]).toEqual(['TM_FEED', 0]);
  });

  it('are asked for once, and not after the end', async () => {
    const { feeder, plan } = await prepare();
    const order = { plan, selector: null, skip: null, withFunctions: false };
    expect(await codeOf(feeder.order(order))).toBe('TM_USAGE');
    await feeder[Symbol.asyncDispose]();
    expect(await codeOf(feeder.verify('full'))).toBe('TM_USAGE');
    expect(keys.held).toBe(0);
  });
});
