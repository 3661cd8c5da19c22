import { constants, setPriority } from 'node:os';
import { text } from 'node:stream/consumers';
import { parseObjectKey } from '@tidemark/archive';
import { TidemarkError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { DamageBench } from '../support/damage/damage-bench.ts';
import { FlipSweep, isRefusal, summaryOf, type SweepResult } from '../support/damage/flip-sweep.ts';
import { TempDir } from '../support/temp-dir.ts';
import { spawnTypeScript } from '../support/ts-child.ts';
import { chooseSeed, Dice } from '../support/workload.ts';

const LANES = 2;
/** It takes 40 s on two free cores; it gives way to whatever runs beside it. */
const TIMEOUT_MS = 900_000;
const ARCHIVE_BYTES_MIN = 60 * 1024;
const CHECKPOINT_ENTRIES = 1_024;
const CHECKPOINT_FLIPS = 12;

interface Verdict {
  /** Exit codes and messages of the faults that `repo verify` lists. */
  readonly repo: readonly { readonly exitCode: number; readonly message: string }[];
  /** What a dry run with a fresh catalog ends in: an error, or what it plans. */
  readonly restore: TidemarkError | string;
}

// Much work and no hurry: tests that run beside this one look at the clock.
setPriority(constants.priority.PRIORITY_BELOW_NORMAL);

describe('(e) damage of an archive, in one process', () => {
  it(
    'finds every flipped byte',
    async () => {
      const seed = chooseSeed('flipped bytes');
      const results = await Promise.all(
        Array.from({ length: LANES }, (_, lane) => flip(lane, seed)),
      );
      const sum = (count: (result: SweepResult) => number): number =>
        results.reduce((total, result) => total + count(result), 0);
      const flipped = sum((result) => result.flipped);
      console.log(
        `${flipped} bytes flipped: ${sum(({ repoRuns }) => repoRuns)} runs of repo verify, ` +
          `${sum(({ dryRuns }) => dryRuns)} dry runs`,
      );
      expect(results.flatMap(({ escaped }) => escaped)).toEqual([]);
      expect(flipped).toBe(results[0]?.archiveBytes);
      expect(flipped).toBeGreaterThan(ARCHIVE_BYTES_MIN);
    },
    TIMEOUT_MS,
  );

  it('would say so when damage is let through', async () => {
    await using bench = await openBench();
    bench.store.tamper = () => undefined; // nothing is damaged, so nothing is found
    const { escaped } = await new FlipSweep(bench, { lane: 0, lanes: 20_000, seed: 1 }).run();
    expect(escaped.filter((sentence) => sentence.includes('repo verify said ""'))).not.toEqual([]);
    expect(escaped.filter((sentence) => sentence.includes('the dry run ended with'))).not.toEqual(
      [],
    );
  });

  it('a restore does not read what it does not need', async () => {
    await using bench = await openBench();
    using catalog = await bench.freshCatalog();
    const from = bench.store.calls.length;
    await bench.dryRun(catalog);
    const read = new Set(bench.store.calls.slice(from).map(({ key }) => key));
    const { bodies, unneededKey } = bench.archive;
    for (const { key, needed } of bodies) expect(read.has(key), key).toBe(needed);
    expect(read.has(unneededKey)).toBe(false);
  });

  it('finds every object that is missing, short, empty or too long', async () => {
    await using bench = await openBench();
    const intact = await look(bench);
    const { unneededKey, bodies } = bench.archive;
    for (const [key, bytes] of [...bench.store.objects]) {
      const body = bodies.find((known) => known.key === key);
      const whole = body?.needed === false || key === unneededKey;
      const changes: readonly (readonly [string, Buffer | null])[] = [
        ['missing', null],
        ['empty', Buffer.alloc(0)],
        ['short', bytes.subarray(0, -1)],
        ['cut in half', bytes.subarray(0, bytes.length >> 1)],
        ['too long', Buffer.concat([bytes, Buffer.of(0)])],
      ];
      for (const [what, changed] of changes) {
        if (changed === null && key === lastLogEntry(bench)) continue; // the next test's matter
        bench.store.tamper(key, changed);
        const entryGone = body?.inEntry === true && (changed?.length ?? 0) < body.start;
        expectRefused(await look(bench), [key], `${key} ${what}`, {
          unneeded: whole && !entryGone ? intact.restore : null,
        });
      }
      bench.store.tamper(key, bytes);
    }
    expect(await look(bench)).toEqual(intact);
  });

  it('tells that the end of a log is gone to who has seen it, and never gives other data', async () => {
    await using bench = await openBench();
    const intact = await look(bench);
    using catalog = await bench.freshCatalog();
    const log = bench.store.keys('v1/instance/tiny/0/w-tiny/log/').slice().reverse();
    const outcomes: string[] = [];
    for (const key of log.slice(0, 4)) {
      bench.store.tamper(key, null);
      // The rest of the store is one that was whole earlier: nothing in it speaks against it.
      const { repo, restore } = await look(bench);
      expect(repo).toEqual([]);
      if (typeof restore === 'string') expect(restore).toBe(intact.restore);
      outcomes.push(typeof restore === 'string' ? 'same' : restore.code);
      const known: unknown = await bench.sync(catalog).catch((error: unknown) => error);
      expect(known).toMatchObject({
        exitCode: 14,
        message: expect.stringContaining(log[0] ?? '') as string,
      });
    }
    expect(outcomes).toEqual(['same', 'same', 'TM_TIME_NOT_RESTORABLE', 'TM_TIME_NOT_RESTORABLE']);
  });

  it('finds every two objects that were swapped', async () => {
    await using bench = await openBench();
    const intact = await look(bench);
    const { unneededKey, bodies } = bench.archive;
    const objects = [...bench.store.objects];
    const unneeded = (key: string): boolean =>
      key === unneededKey ||
      bodies.some((body) => body.key === key && !body.needed && !body.inEntry);
    let pairs = 0;
    for (const [at, [key, bytes]] of objects.entries()) {
      for (const [otherAt, [other, otherBytes]] of objects.entries()) {
        const alike = parseObjectKey(key)?.kind === parseObjectKey(other)?.kind;
        if (otherAt <= at || (!alike && otherAt !== at + 1)) continue;
        pairs += 1;
        bench.store.tamper(key, otherBytes);
        bench.store.tamper(other, bytes);
        expectRefused(await look(bench), [key, other], `${key} and ${other} swapped`, {
          unneeded: unneeded(key) && unneeded(other) ? intact.restore : null,
        });
        bench.store.tamper(key, bytes);
        bench.store.tamper(other, otherBytes);
      }
    }
    expect(pairs).toBeGreaterThan(50);
    expect(await look(bench)).toEqual(intact);
  });

  it('repo verify finds a changed checkpoint, and a restore does without it', async () => {
    await using bench = await openBench({ heartbeats: CHECKPOINT_ENTRIES });
    const intact = await look(bench);
    const key = bench.store.keys().find((each) => each.includes('/checkpoint/')) ?? '';
    const bytes = bench.store.objects.get(key) ?? Buffer.alloc(0);
    expect(bytes.length).toBeGreaterThan(0);
    const dice = new Dice(chooseSeed('checkpoint'));
    for (let i = 0; i < CHECKPOINT_FLIPS; i++) {
      const changed = Buffer.from(bytes);
      const at = dice.between(0, bytes.length - 1);
      changed[at] = (changed[at] ?? 0) ^ (1 << dice.between(0, 7));
      bench.store.tamper(key, changed);
      expectRefused(await look(bench), [key], `checkpoint byte ${at}`, {
        unneeded: intact.restore,
      });
    }
  });
});

async function flip(lane: number, seed: number): Promise<SweepResult> {
  const script = new URL('../support/damage/flip-child.ts', import.meta.url);
  const child = spawnTypeScript(script, [lane, LANES, seed].map(String));
  if (child.stdout === null) throw new Error('the child has no standard output');
  return JSON.parse(await text(child.stdout)) as SweepResult;
}

/** A bench in a folder that goes with it. */
async function openBench(
  options: { readonly heartbeats?: number } = {},
): Promise<DamageBench & AsyncDisposable> {
  const dir = await TempDir.create('tidemark-damage-');
  const bench = await DamageBench.build('structure', dir.path, options);
  return Object.assign(bench, { [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() });
}

function lastLogEntry(bench: DamageBench): string | undefined {
  return bench.store.keys('v1/instance/tiny/0/w-tiny/log/').at(-1);
}

async function look(bench: DamageBench): Promise<Verdict> {
  const { faults } = await bench.repo();
  try {
    return { repo: faults, restore: summaryOf(await bench.dryRun()) };
  } catch (error) {
    if (!(error instanceof TidemarkError)) throw error;
    return { repo: faults, restore: error };
  }
}

/**
 * `repo verify` refuses and names one of the objects. So does a restore; when it needs none of them
 * it may instead do exactly what it does on the intact archive (`unneeded`).
 */
function expectRefused(
  { repo, restore }: Verdict,
  keys: readonly string[],
  what: string,
  { unneeded }: { readonly unneeded: Verdict['restore'] | null },
): void {
  const kinds = keys.find((key) => key.startsWith('v1/keys/')) ?? '';
  expect(repo.length, what).toBeGreaterThan(0);
  expect(
    repo.filter(({ exitCode }) => !isRefusal(exitCode, kinds)),
    what,
  ).toEqual([]);
  expect(
    repo.some(({ message }) => keys.some((key) => message.includes(key))),
    `${what}: ${repo.map(({ message }) => message).join('; ')}`,
  ).toBe(true);
  if (unneeded !== null) {
    expect(restore, what).toBe(unneeded);
    return;
  }
  if (typeof restore === 'string') throw new Error(`${what}: the dry run ended with ${restore}`);
  expect(isRefusal(restore.exitCode, kinds), `${what}: ${restore.code}`).toBe(true);
  expect(
    keys.some((key) => restore.message.includes(key)),
    `${what}: ${restore.message}`,
  ).toBe(true);
}
