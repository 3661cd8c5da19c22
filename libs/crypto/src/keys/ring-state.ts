import { KeyError, type Random } from '@tidemark/core';
import type { Identity } from '../container/identity.ts';
import type { DataKey } from '../container/key-schedule.ts';
import { keyIdOf } from './key-derivation.ts';
import { unwrapKey, wrapKey } from './key-wrap.ts';
import type { RingFile, RingKey } from './ring-file.ts';

/** A ring whose keys are opened, in memory. */
export interface RingState {
  readonly file: RingFile;
  /** By version. */
  readonly keks: ReadonlyMap<number, DataKey>;
  /** 32 bytes. */
  readonly logRoot: Buffer;
}

/** Makes the content of a new ring. Its keys exist only wrapped. */
export function newRing(root: Buffer, random: Random, nowMs: number): RingFile {
  const ringId = random.bytes(16).toString('hex');
  const logId = random.bytes(16).toString('hex');
  const logRoot = random.bytes(32);
  const under = rootAsKey(root);
  try {
    return {
      format: 1,
      ringId,
      rootId: under.id,
      revision: 1,
      createdMs: nowMs,
      updatedMs: nowMs,
      keys: [newKek({ ringId, version: 1, under, random, nowMs })],
      log: {
        id: logId,
        wrapped: wrapKey(logRoot, { under, random, identity: logIdentity(ringId, logId) }),
      },
    };
  } finally {
    logRoot.fill(0);
  }
}

/** The same ring with one more key version; all older ones stay. */
export function withNewKek(ring: RingFile, root: Buffer, random: Random, nowMs: number): RingFile {
  const version = ring.keys.length + 1;
  const under = rootAsKey(root);
  const key = newKek({ ringId: ring.ringId, version, under, random, nowMs });
  return { ...ring, revision: ring.revision + 1, updatedMs: nowMs, keys: [...ring.keys, key] };
}

/**
 * Opens every key of a ring.
 * @throws KeyError `TM_KEY_WRONG` when one does not open.
 */
export function openRing(file: RingFile, root: Buffer): RingState {
  const under = rootAsKey(root);
  const keks = new Map<number, DataKey>();
  for (const { version, id, wrapped } of file.keys) {
    const identity = kekIdentity(file.ringId, version, id);
    keks.set(version, { id, key: unwrapKey(wrapped, { under, identity }) });
  }
  const identity = logIdentity(file.ringId, file.log.id);
  return { file, keks, logRoot: unwrapKey(file.log.wrapped, { under, identity }) };
}

/**
 * The key version that new data keys are wrapped with.
 * @throws KeyError `TM_KEY_MISSING` after the ring was closed.
 */
export function newestKek(state: RingState): { readonly version: number; readonly kek: DataKey } {
  const version = state.file.keys.length;
  const kek = state.keks.get(version);
  if (kek === undefined) throw new KeyError('TM_KEY_MISSING', 'the key ring was closed');
  return { version, kek };
}

/** Zero-fills every key of a state. */
export function wipeRing(state: RingState): void {
  for (const kek of state.keks.values()) kek.key.fill(0);
  state.logRoot.fill(0);
}

/** The root key as the container takes it; shares the buffer. */
function rootAsKey(root: Buffer): DataKey {
  return { id: keyIdOf(root), key: root };
}

function newKek(o: {
  readonly ringId: string;
  readonly version: number;
  readonly under: DataKey;
  readonly random: Random;
  readonly nowMs: number;
}): RingKey {
  const { ringId, version, under, random, nowMs } = o;
  const id = random.bytes(16).toString('hex');
  const key = random.bytes(32);
  try {
    const wrapped = wrapKey(key, { under, random, identity: kekIdentity(ringId, version, id) });
    return { version, id, createdMs: nowMs, wrapped };
  } finally {
    key.fill(0);
  }
}

function kekIdentity(ring: string, version: number, key: string): Identity {
  return { purpose: 'kek', ring, version: String(version), key };
}

function logIdentity(ring: string, key: string): Identity {
  return { purpose: 'log-root', ring, key };
}
