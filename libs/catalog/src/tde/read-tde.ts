import { tdeMarkerKey } from '@tidemark/archive';
import { CatalogError, IntegrityError, TidemarkError } from '@tidemark/core';
import type { InstanceKeys, LogKey } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import { readWhole } from '../log/read-object.ts';
import type { InstanceKey, InstanceState } from '../model/instance-state.ts';
import { latchFilePath, readLatchFile } from './latch-file.ts';
import { decodeTdeLatch, type TdeLatch } from './tde-latch.ts';

/** What one of the three places says. What is there and does not open counts as "on". */
export type TdeWitness = 'on' | 'off' | 'damaged';

/** Whether TDE of an instance is on. There is no way back to `disabled`. */
export interface Tde {
  readonly iid: string;
  /** `modifying`: its rules hold, and the first full backup under its key is still to come. */
  readonly state: 'disabled' | 'modifying' | 'enabled';
  /** The latch has fallen: new data keys are wrapped with `key` and no other. */
  readonly latched: boolean;
  /** The key of this instance; `null` for `disabled`, or when only damaged places say "on". */
  readonly key: InstanceKey | null;
  /** The key was made for this instance; else it is one of the owner's choice. */
  readonly auto: boolean;
  readonly sinceMs: number | null;
  readonly enabledMs: number | null;
  /** The first full backup under the key. */
  readonly backup: string | null;
  /** What each place says. Any of them is enough. */
  readonly witnesses: {
    readonly log: 'on' | 'off';
    readonly marker: TdeWitness;
    readonly archiver: TdeWitness;
  };
}

/** Where the three places are. */
export interface TdeSource {
  readonly store: ObjectStore;
  readonly logKey: LogKey;
  /** State folder of the archiver; `null` when there is none on this host. */
  readonly stateDir: string | null;
  readonly signal?: AbortSignal;
}

/**
 * Tells whether TDE of an instance is on. This is the one place that does: the instance log, the
 * marker object and the archiver's own file are asked, and any one that says "on", or cannot be
 * read as what it should be, is enough.
 *
 * @param state - The fold of the instance log as far as it is known.
 * @throws StoreError, CatalogError `TM_CATALOG_DB` when a place cannot be asked: then nobody knows.
 */
export async function readTde(
  iid: string,
  source: TdeSource & { readonly state: InstanceState },
): Promise<Tde> {
  const latches = await readLatches(iid, source);
  return tdeFrom(iid, source.state, latches);
}

/** What the marker object and the archiver's file say. */
export interface TdeLatches {
  readonly marker: TdeLatch | 'damaged' | null;
  readonly archiver: TdeLatch | 'damaged' | null;
}

/** Reads the marker object and the archiver's file. Throws as `readTde`. */
export async function readLatches(iid: string, source: TdeSource): Promise<TdeLatches> {
  const { store, stateDir, signal } = source;
  const marker = await readWhole(store, tdeMarkerKey(iid), signal).catch((cause: unknown) => {
    if (cause instanceof IntegrityError) return 'damaged' as const; // longer than any marker
    throw cause;
  });
  const file = stateDir === null ? null : await readFile(latchFilePath(stateDir, iid));
  return { marker: opened(iid, marker, source.logKey), archiver: opened(iid, file, source.logKey) };
}

/**
 * Reads the marker object of an instance, to verify it.
 *
 * @returns `null` when there is none.
 * @throws As `decodeTdeLatch`; StoreError.
 */
export async function readTdeMarker(
  source: Omit<TdeSource, 'stateDir'> & { readonly iid: string },
): Promise<TdeLatch | null> {
  const { store, iid, logKey, signal } = source;
  const bytes = await readWhole(store, tdeMarkerKey(iid), signal);
  return bytes === null ? null : decodeTdeLatch(bytes, { iid, logKey });
}

/** What the three places say together. */
export function tdeFrom(iid: string, { tde }: InstanceState, latches: TdeLatches): Tde {
  const { marker, archiver } = latches;
  const latch = latchOf(latches);
  const said = tde ?? latch;
  const latched = (tde !== null && tde.latchedMs !== null) || marker !== null || archiver !== null;
  const enabled = tde !== null && tde.enabledMs !== null;
  return {
    iid,
    state: enabled ? 'enabled' : tde !== null || latched ? 'modifying' : 'disabled',
    latched,
    key: said === null ? null : { provider: said.provider, keyId: said.keyId },
    auto: said?.auto ?? false,
    sinceMs: tde?.sinceMs ?? latch?.atMs ?? null,
    enabledMs: tde?.enabledMs ?? null,
    backup: tde?.backup ?? null,
    witnesses: {
      log: tde === null ? 'off' : 'on',
      marker: witness(marker),
      archiver: witness(archiver),
    },
  };
}

/** The latch that the marker, or else the archiver's file, tells of; `null` when neither does. */
export function latchOf({ marker, archiver }: TdeLatches): TdeLatch | null {
  if (marker !== null && marker !== 'damaged') return marker;
  return archiver === 'damaged' ? null : archiver;
}

/**
 * The keys of an instance for the directory of a key provider. Where TDE is on and only damaged
 * places say so, nobody knows its key: what is there can be opened, and nothing is wrapped.
 */
export function instanceKeysOf(state: InstanceState, tde: Tde): InstanceKeys {
  if (tde.key === null) {
    const keys = { wrapWith: null, allowed: state.keys };
    return tde.latched ? { ...keys, keyUnknown: true } : keys;
  }
  return { wrapWith: tde.latched ? tde.key : null, allowed: [...state.keys, tde.key] };
}

function witness(latch: TdeLatch | 'damaged' | null): TdeWitness {
  if (latch === null) return 'off';
  return latch === 'damaged' ? 'damaged' : 'on';
}

function opened(
  iid: string,
  bytes: Buffer | 'damaged' | null,
  logKey: LogKey,
): TdeLatch | 'damaged' | null {
  if (bytes === null || bytes === 'damaged') return bytes;
  try {
    return decodeTdeLatch(bytes, { iid, logKey });
  } catch (cause) {
    if (cause instanceof TidemarkError) return 'damaged';
    throw cause;
  }
}

async function readFile(path: string): Promise<Buffer | null> {
  try {
    return await readLatchFile(path);
  } catch (cause) {
    throw new CatalogError('TM_CATALOG_DB', 'the TDE latch in the state folder cannot be read', {
      context: { path },
      hint: 'make it readable for this user; it is never to be deleted',
      cause,
    });
  }
}
