import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../support/memory-store.ts';
import { CANARY, TdeWorld, type StepEnd } from '../support/tde/tde-world.ts';
import { TempDir } from '../support/temp-dir.ts';

/** Calls of the store after which a process is killed; mostly it is not. */
const killAt = fc.oneof(fc.constant(Infinity), fc.integer({ min: 0, max: 24 }));
const key = fc.constantFrom('one', 'two');

type Step = (world: TdeWorld) => Promise<StepEnd | undefined>;
const quietly = async (work: Promise<void>): Promise<undefined> => {
  await work;
  return undefined;
};
const named = (name: string, step: Step): Step & { readonly label: string } =>
  Object.assign(step, { label: name, [fc.toStringMethod]: () => name });

/** Operations of users and archivers, and what befalls the places they rely on. */
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.option(key), killAt)
      .map(([wanted, at]) =>
        named(`enable ${String(wanted)} ${at}`, (world) => world.enable(wanted, at)),
      ),
  },
  {
    weight: 4,
    arbitrary: killAt.map((at) => named(`archive ${at}`, (world) => world.archive(at))),
  },
  {
    weight: 4,
    arbitrary: killAt.map((at) => named(`download ${at}`, (world) => world.download(at))),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(key, killAt)
      .map(([to, at]) => named(`change key ${to} ${at}`, (world) => world.changeKey(to, at))),
  },
  { weight: 1, arbitrary: killAt.map((at) => named(`shred ${at}`, (world) => world.shred(at))) },
  {
    weight: 1,
    arbitrary: fc.boolean().map((on) => named(`allow ${on}`, (world) => world.allowOriginal(on))),
  },
  {
    weight: 1,
    arbitrary: key.map((which) =>
      named(`toggle ${which}`, (world) => {
        world.toggleKey(which);
        return Promise.resolve(undefined);
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constant(named('lose catalog', (world) => quietly(world.loseCatalog()))),
  },
  {
    weight: 1,
    arbitrary: fc.constant(named('keep catalog', (world) => quietly(world.keepCatalog()))),
  },
  {
    weight: 1,
    arbitrary: fc.constant(named('old catalog', (world) => quietly(world.oldCatalog()))),
  },
  {
    weight: 2,
    arbitrary: fc
      .integer({ min: 1, max: 6 })
      .map((count) => named(`roll back ${count}`, (world) => quietly(world.rollBack(count)))),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('delete' as const, 'damage' as const)
      .map((how) => named(`marker ${how}`, (world) => quietly(world.harmMarker(how)))),
  },
  {
    weight: 1,
    arbitrary: fc.constant(named('lose state folder', (world) => quietly(world.loseStateFolder()))),
  },
);

/** Runs steps and holds the world to what must be so after each. */
async function holds(steps: readonly Step[]): Promise<void> {
  await using dir = await TempDir.create();
  const world = new TdeWorld(dir.path, new MemoryStore());
  await world.begin();
  let everOn = false;
  for (const one of steps) {
    const before = await world.tde();
    const wraps = world.keys.wraps.size;
    const end = await one(world);
    const after = await world.tde();
    everOn ||= before.state !== 'disabled';
    // Never found off after it was on; no clear data came out of a process that began after that.
    if (everOn) {
      expect(after.state).not.toBe('disabled');
      expect(end?.plain ?? false).toBe(false);
    }
    everOn ||= after.state !== 'disabled';
    expect(world.plainObjects()).toEqual([]);
    // What is sealed under TDE is sealed with a key of TDE and no other.
    if (before.latched) {
      const used = [...world.keys.wraps.values()].slice(wraps);
      for (const { keyId } of used) expect([before.key?.keyId, after.key?.keyId]).toContain(keyId);
    }
    if (before.state === 'modifying' && after.state === 'enabled') {
      expect([...world.keys.wraps.values()].map(({ keyId }) => keyId)).toContain(after.key?.keyId);
    }
  }
}

describe('TDE, whatever is done and whatever breaks', () => {
  it('gives out clear data before it is on, and never after', async () => {
    await using dir = await TempDir.create();
    const world = new TdeWorld(dir.path, new MemoryStore());
    await world.begin();
    expect(await world.archive(Infinity)).toMatchObject({ end: null });
    // So that the checks below can fail: here a file with clear data does come out.
    expect(await world.download(Infinity)).toEqual({ end: null, plain: true });
    expect(await world.enable('one', Infinity)).toMatchObject({ end: null });
    expect(await world.archive(Infinity)).toMatchObject({ end: null });
    expect(await world.tde()).toMatchObject({ state: 'enabled', key: { keyId: 'one' } });
    expect(await world.download(Infinity)).toEqual({ end: null, plain: false });
    expect(CANARY.length).toBeGreaterThan(20);
  });

  it('is never found off after it was on, and no clear object is ever made', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 14 }), (steps) => holds(steps)),
      { numRuns: 40 },
    );
  });
});
