import {
  runRetention,
  type RetentionReport,
} from '../../services/archiver/src/retention/run-retention.ts';
import type {
  RetentionPorts,
  RetentionRequest,
} from '../../services/archiver/src/retention/retention-ports.ts';
import type { RestorePlan } from '../../services/restorer/src/plan/restore-plan.ts';
import { preparePlan } from '../../services/restorer/src/run/prepared-plan.ts';
import type { MemoryStore } from './memory-store.ts';
import { ARCHIVED, FIRST, TestArchive } from './test-archive.ts';

/** When the history of every test ended. */
export const ENDED_MS: number = (FIRST + 3_600) * 1000;
export const DAY_MS = 86_400_000;

/** Writes a second for each step, one segment each, with a snapshot every `every` seconds. */
export async function writeSeconds(
  archive: TestArchive,
  from: number,
  to: number,
  every = 20,
): Promise<void> {
  for (let second = from; second <= to; second++) {
    archive.sample(second);
    if (second > from && (second - from) % every === 0) {
      await archive.rollIfAny();
      await archive.snapshot(
        `bk-${archive.writer.timeline}-${String(second - FIRST)}`,
        undefined,
        second,
      );
    }
    archive.write(['SET', `k${String(second - FIRST)}`, 'v']);
  }
  archive.sample(to + 1);
  await archive.rollIfAny();
}

/** Runs retention at an instant; 30 s are kept, and what is marked stays for a day. */
export async function expireAt(
  archive: TestArchive,
  nowMs: number,
  over: Partial<RetentionRequest> & { readonly store?: MemoryStore } = {},
): Promise<RetentionReport> {
  const { store, ...request } = over;
  const environment = await archive.environment(nowMs);
  const ports: RetentionPorts = { ...environment, ...(store && { store }) };
  return runRetention(
    {
      ...{ instance: ARCHIVED, stateDir: environment.stateDir, dryRun: false },
      ...{ retainSeconds: 30, graceMs: DAY_MS, shareMax: 1 },
      ...request,
    },
    ports,
  );
}

/** The plan of a restore to the end of a second. */
export async function planAt(archive: TestArchive, second: number): Promise<RestorePlan> {
  const point = { kind: 'second', second, timeline: null } as const;
  const request = { instance: ARCHIVED, point, ttl: { mode: 'absolute' } as const };
  await using prepared = await preparePlan(request, await archive.environment());
  return prepared.plan;
}

/** Every fourth of the seconds that can be restored, every object of theirs in the store. */
export async function restorableSeconds(
  archive: TestArchive,
  from: number,
  to: number,
): Promise<number[]> {
  const seconds: number[] = [];
  for (let second = from; second <= to; second += 4) {
    const plan = await planAt(archive, second).catch(() => null);
    if (plan === null) continue;
    const objects = [plan.snapshotObject, ...plan.reads.map(({ object }) => object)];
    if (objects.every(({ ref }) => archive.store.objects.has(ref.readKey))) seconds.push(second);
  }
  return seconds;
}
