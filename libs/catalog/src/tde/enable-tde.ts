import { KeyError, TidemarkError } from '@tidemark/core';
import {
  describeUsable,
  isSameKey,
  type KeyAdmin,
  type KeyDirectory,
  type KeyProvider,
  type WrappingKey,
} from '@tidemark/crypto';
import type { InstanceLog } from '../log/instance-log.ts';
import { dropTdeLatch, holdTdeLatch, type LatchPorts } from './hold-latch.ts';
import type { Tde } from './read-tde.ts';
import { sealCanary } from './seal-canary.ts';

/** What TDE is to be enabled with. */
export interface EnableTdeRequest {
  readonly iid: string;
  /** Id, ARN or alias of a key of the owner's choice; `null` = one made for this instance. */
  readonly key: string | null;
  /** Looks after the keys of the provider that has it, or that is to make one. */
  readonly admin: KeyAdmin;
}

/** What TDE is enabled with. */
export interface EnableTdePorts extends LatchPorts {
  readonly keys: Pick<KeyProvider, 'generateDataKey' | 'unwrapDataKey'> & {
    readonly directory: KeyDirectory;
  };
}

/**
 * Switches TDE on, for good: proves the key, and lets the latch fall in all three places. What is
 * left then is a full backup under the key, which the archiver makes; until it stands the state is
 * `modifying`.
 *
 * Nothing is recorded before the key was found usable and authorised. From then on it can be
 * repeated after a crash at any step, and once the latch has fallen it only brings the three places
 * to say the same.
 *
 * @throws KeyError `TM_KEY_MISSING`, `TM_KEY_DISABLED`, `TM_KEY_DENIED`, `TM_KEY_SERVICE` for a key
 *   that cannot be used; TidemarkError `TM_EXISTS` when TDE is on with another key; StoreError;
 *   CatalogError; IntegrityError as `holdTdeLatch`.
 */
export async function enableTde(
  log: InstanceLog,
  request: EnableTdeRequest,
  ports: EnableTdePorts,
): Promise<Tde> {
  const { iid, admin } = request;
  const held = await holdTdeLatch(log, iid, ports);
  if (held.latched) {
    await refuseOtherKey(held, request);
    return held;
  }
  const { key, auto } = await usableKey(request);
  const authorization = await admin.authorization(key, iid);
  if (authorization.state !== 1) throw notAuthorized(key, authorization);
  const { clock } = ports;
  await log.append(({ tde }) =>
    tde !== null && (tde.latchedMs !== null || isSameKey(tde, key))
      ? null
      : { type: 'TdeRequested', ...key, auto, atMs: clock.nowMs() },
  );
  ports.keys.directory.set(iid, { wrapWith: key, allowed: [...log.state.keys, key] });
  await sealCanary(iid, key, ports);
  const tde = await dropTdeLatch(log, { iid, ...key, auto, atMs: clock.nowMs() }, ports);
  await refuseOtherKey(tde, request, key);
  return tde;
}

async function usableKey(
  request: EnableTdeRequest,
): Promise<{ readonly key: WrappingKey; readonly auto: boolean }> {
  const { iid, admin } = request;
  if (request.key === null) {
    const { provider, keyId } = await admin.createFor(iid);
    return { key: { provider, keyId }, auto: true };
  }
  const facts = await describeUsable(admin, request.key);
  return { key: { provider: facts.provider, keyId: facts.keyId }, auto: false };
}

function notAuthorized(
  { keyId }: WrappingKey,
  { state, failed }: Awaited<ReturnType<KeyAdmin['authorization']>>,
): KeyError {
  const what = failed.map(({ action, reason }) => `${action}: ${reason}`).join('; ');
  const code = state === 2 ? 'TM_KEY_SERVICE' : 'TM_KEY_DENIED';
  return new KeyError(code, `key ${keyId} cannot be used for this instance: ${what}`, {
    context: { keyId, actions: failed.map(({ action }) => action).join(' ') },
    hint: 'nothing was changed; see: tidemark tde authorize-check ID',
  });
}

/** Asking again with the key in use, or with none, is no change. */
async function refuseOtherKey(
  tde: Tde,
  request: EnableTdeRequest,
  chosen?: WrappingKey,
): Promise<void> {
  const wanted =
    chosen ?? (request.key === null ? null : await request.admin.describe(request.key));
  if (wanted === null || tde.key === null || isSameKey(tde.key, wanted)) return;
  throw new TidemarkError('TM_EXISTS', `TDE of ${tde.iid} is on with key ${tde.key.keyId}`, {
    context: { instance: tde.iid, keyId: tde.key.keyId },
    hint: `change its key: tidemark tde rewrap ${tde.iid} --kms-key KEY`,
  });
}
