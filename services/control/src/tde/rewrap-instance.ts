import type { InstanceLog, Tde } from '@tidemark/catalog';
import { IntegrityError, KeyError, TidemarkError, UsageError, type Clock } from '@tidemark/core';
import { isSameKey, type KeyProviders, type WrappingKey } from '@tidemark/crypto';
import { rewrapKeys, type RewrapReport } from '@tidemark/restorer';
import type { Workspace } from '@tidemark/workspace';
import { adminOfKey, openTdeInstance } from '../queries/open-tde.ts';

const DAMAGE = 14;
const REKEY_TIMEOUT_MS = 60_000;

/** What a rewrapping of an instance runs on, and who is told of it. */
export interface RewrapRun {
  readonly workspace: Workspace;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onProgress: (keys: number) => void;
  readonly warn: (message: string) => void;
}

/**
 * Wraps every data key of an instance with another key, or with the newest version of its key. Run again
 * it goes on where it was. The catalog is up to date.
 * @param kmsKey - The key that is wanted; undefined: that of the instance.
 * @throws As `chosenKey`, `rewrapKeys`.
 */
export async function rewrapInstance(
  id: string,
  kmsKey: string | undefined,
  run: RewrapRun,
): Promise<{ readonly target: WrappingKey; readonly report: RewrapReport }> {
  const { workspace, signal, onProgress } = run;
  const { store, keys } = workspace;
  const { log, tde } = await openTdeInstance(id, workspace, signal);
  const target = await chosenKey(id, kmsKey, { keys, tde });
  await adopt(target, { id, log, tde, keys, clock: run.clock });
  await tellArchiver(id, run);
  const report = await rewrapKeys({
    ...{ instance: id, target, store, keys, log, signal, onProgress },
  });
  return { target, report };
}

/**
 * The key that an instance is to have.
 * @throws KeyError `TM_KEY_DISABLED`, `TM_KEY_MISSING`; UsageError `TM_USAGE` for one that TDE does not allow.
 */
async function chosenKey(
  id: string,
  kmsKey: string | undefined,
  { keys, tde }: { readonly keys: KeyProviders; readonly tde: Tde },
): Promise<WrappingKey> {
  if (kmsKey === undefined) return keys.wrappingKeyOf(id);
  const admin = await adminOfKey(kmsKey, keys);
  const { provider, keyId, state, usage, spec } = await admin.describe(kmsKey);
  const context = { instance: id, keyId, state, usage, spec };
  if (state !== 'enabled' || usage !== 'ENCRYPT_DECRYPT' || spec !== 'SYMMETRIC_DEFAULT') {
    throw new KeyError('TM_KEY_DISABLED', `key ${keyId} cannot wrap data keys: it is ${state}`, {
      context,
      hint: 'nothing was changed; tidemark tde keys list shows the keys that can',
    });
  }
  // Of a key that nobody knows any more it is not known that it was in the ring.
  if (provider === 'ring' && tde.latched && tde.key === null) await keys.wrappingKeyOf(id);
  if (provider === 'ring' && tde.key !== null && tde.key.provider !== 'ring') {
    throw new UsageError(
      'TM_USAGE',
      `TDE of ${id} has its key in a key service, and it stays there`,
      {
        context: { instance: id, provider: tde.key.provider },
        hint: 'choose another key of the key service: tidemark tde keys list',
      },
    );
  }
  if (tde.state !== 'disabled' && !tde.latched) {
    throw new UsageError('TM_USAGE', `TDE of ${id} is not on yet`, {
      hint: `choose its key with tidemark tde enable ${id} --kms-key ${kmsKey}`,
    });
  }
  return { provider, keyId };
}

/**
 * Says in the log that data keys of the instance may be wrapped by the key, before the first one is;
 * new data keys of a TDE instance are wrapped with it from here on.
 */
async function adopt(
  key: WrappingKey,
  o: {
    readonly id: string;
    readonly log: InstanceLog;
    readonly tde: Tde;
    readonly keys: KeyProviders;
    readonly clock: Clock;
  },
): Promise<void> {
  const { id, log, tde, keys, clock } = o;
  const { provider, keyId } = key;
  const atMs = clock.nowMs();
  await log.append((state) => {
    const changes = tde.latched && state.tde !== null && !isSameKey(state.tde, key);
    if (changes) return { type: 'TdeKeyChanged', provider, keyId, auto: false, atMs };
    const known = state.keys.some((one) => isSameKey(one, key));
    return known ? null : { type: 'KeyAdopted', provider, keyId, atMs };
  });
  const { wrapWith, allowed } = keys.directory.of(id);
  keys.directory.set(id, {
    wrapWith: tde.latched ? key : wrapWith,
    allowed: [...allowed, ...log.state.keys],
  });
}

/** A running archiver wraps new data keys with the key from here on. */
async function tellArchiver(id: string, { workspace, signal, warn }: RewrapRun): Promise<void> {
  try {
    await workspace.askArchiver('rekey', id, { timeoutMs: REKEY_TIMEOUT_MS, signal });
  } catch (cause) {
    if (!(cause instanceof TidemarkError) || signal.aborted) throw cause;
    warn(`the archiver does not use the key yet (${cause.message}): run this again later`);
  }
}

/** @throws IntegrityError `TM_SEAL_COMMITMENT`, KeyError `TM_KEY_DENIED` when keys were not wrapped anew. */
export function refuseRewrapFaults(id: string, { faults, faultCount }: RewrapReport): void {
  if (faultCount === 0) return;
  const context = { instance: id, faults: faultCount };
  const message = `${faultCount.toString()} data keys of ${id} were not wrapped anew`;
  const hint = 'they stay wrapped as they were; see "tidemark backup verify"';
  if (faults.some(({ exitCode }) => exitCode === DAMAGE)) {
    throw new IntegrityError('TM_SEAL_COMMITMENT', message, { context, hint });
  }
  throw new KeyError('TM_KEY_DENIED', message, { context, hint });
}
