import { restoreToOriginal, undoRestore, type RestoreEnvironment } from '@tidemark/restorer';
import type { WriteBackReport } from '@tidemark/restorer';
import { expect } from 'vitest';
import { INSTANCE } from '../archiver-run.ts';
import type { RedisServer } from '../redis-server.ts';
import { diffKeyStates, statesWhere, type KeyState, type KeyStates } from './key-oracle.ts';
import { describeSpec, type RandomSelector } from './random-selector.ts';

const RETAIN_MS = 3_600_000;
/** Longer than a write-back takes. */
const SOON_MS = 10_000;

/** The original, as a write into it is to spare it. */
export function spared(server: RedisServer): {
  readonly address: { readonly host: string; readonly port: number };
  readonly latencyMaxMs: number;
  readonly rate: null;
} {
  return { address: { host: '127.0.0.1', port: server.port }, latencyMaxMs: 5, rate: null };
}

/** Puts selected keys of the original back as they were at the end of a second, expiries too. */
export async function writeBackKeys(
  original: RedisServer,
  second: number,
  { spec }: RandomSelector,
  environment: RestoreEnvironment,
): Promise<WriteBackReport> {
  const { report, failure } = await restoreToOriginal(
    {
      instance: INSTANCE,
      point: { kind: 'second', second },
      ttl: { mode: 'absolute' },
      ...{ selector: spec, live: spared(original), policy: 'skip', retainMs: RETAIN_MS },
    },
    environment,
  );
  expect(failure, describeSpec(spec)).toBeNull();
  return report;
}

/** Puts back what a write-back has overwritten; keys that were changed since are left. */
export async function undoWriteBack(
  original: RedisServer,
  restore: string,
  environment: RestoreEnvironment,
): ReturnType<typeof undoRestore> {
  return undoRestore(
    {
      ...{ instance: INSTANCE, restore, live: spared(original) },
      ...{ policy: 'skip', retainMs: RETAIN_MS, dryRun: false },
    },
    environment,
  );
}

/** What the original must hold after a write-back. */
export interface Expected {
  /**
   * Whether a key is selected: by its type at the point, or now if it was not there. Of a key whose
   * time has passed since no server tells the type: where types are asked for it is not selected.
   * Null: its time passes in a moment.
   */
  readonly isSelected: (name: string) => boolean | null;
  readonly selected: KeyStates;
  readonly others: KeyStates;
}

/**
 * Parts what the original held and what it held at a point into what a write-back must leave.
 * @param second - What had expired by its end was no key then.
 */
export function expectedAfter(
  { selects, spec }: RandomSelector,
  second: number,
  { reference, before }: { readonly reference: KeyStates; readonly before: KeyStates },
): Expected {
  const then = statesWhere(reference, (state) => !isDead(state, endOf(second)));
  const byType = spec.types !== null || spec.excludeTypes.length > 0;
  const nowMs = Date.now();
  const isSelected = (name: string): boolean | null => {
    const old = then.get(name);
    if (byType && old !== undefined && isDead(old, nowMs + SOON_MS))
      return isDead(old, nowMs) ? false : null;
    const state = old ?? before.get(name);
    return state !== undefined && selects(state);
  };
  const named = (states: KeyStates, selected: boolean): KeyStates =>
    new Map([...states].filter(([name]) => isSelected(name) === selected));
  return { isSelected, selected: named(then, true), others: named(before, false) };
}

/** The difference between what must be there and what is, without what has died by now. */
export function diffAlive(wanted: KeyStates, found: KeyStates): string[] {
  const nowMs = Date.now();
  const alive = (states: KeyStates): KeyStates =>
    statesWhere(states, (state) => !isDead(state, nowMs));
  return diffKeyStates(alive(wanted), alive(found), nowMs);
}

/** The last instant of a second, Unix milliseconds. */
function endOf(second: number): number {
  return second * 1000 + 999;
}

/** Adds to each line of a difference what its key was at the end of a second, and before the write-back. */
export function tellKeys(
  lines: readonly string[],
  second: number,
  states: { readonly reference: KeyStates; readonly before: KeyStates },
): string[] {
  const tell = (state: KeyState | undefined): string => {
    if (state === undefined) return 'nothing';
    const { type, expiryMs } = state;
    if (expiryMs === null) return type;
    return `${type} until ${(expiryMs - endOf(second)).toString()} ms after the second`;
  };
  const names = [...states.reference.keys(), ...states.before.keys()];
  return lines.map((line) => {
    const name = names.find((one) => line.startsWith(`${one}: `)) ?? '';
    const [then, before] = [states.reference.get(name), states.before.get(name)].map(tell);
    return `${line} [then: ${then ?? ''}; before: ${before ?? ''}]`;
  });
}

function isDead({ expiryMs }: KeyState, atMs: number): boolean {
  return expiryMs !== null && expiryMs <= atMs;
}
