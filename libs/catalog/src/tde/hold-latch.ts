import { tdeMarkerKey } from '@tidemark/archive';
import { CatalogError, IntegrityError, type Clock, type Random } from '@tidemark/core';
import { createOnce } from '../log/create-once.ts';
import type { InstanceLog } from '../log/instance-log.ts';
import type { RetryLimits } from '../log/retry.ts';
import type { InstanceEvent } from '../model/instance-events.ts';
import type { InstanceState } from '../model/instance-state.ts';
import { createLatchFile, latchFilePath } from './latch-file.ts';
import { latchOf, readLatches, tdeFrom, type Tde, type TdeSource } from './read-tde.ts';
import { encodeTdeLatch, type TdeLatch } from './tde-latch.ts';

/** What a latch is held with. */
export interface LatchPorts extends TdeSource {
  readonly clock: Clock;
  readonly random: Random;
  readonly retry?: RetryLimits;
}

/** Appends that bring a log to say "on": others may have asked with another key meanwhile. */
const APPENDS_MAX = 8;

/**
 * Brings every place to say what one of them says: a log that was rolled back, a marker that was
 * deleted or a state folder that is new cannot make TDE forgotten. Where none says that the latch
 * has fallen, nothing is done.
 *
 * @throws IntegrityError `TM_LOG_AUTH` when only damaged places say "on": then nobody knows the
 *   key; StoreError; CatalogError.
 */
export async function holdTdeLatch(log: InstanceLog, iid: string, ports: LatchPorts): Promise<Tde> {
  await log.catchUp();
  const latches = await readLatches(iid, ports);
  const tde = tdeFrom(iid, log.state, latches);
  if (!tde.latched) return tde;
  const { tde: logged } = log.state;
  if (logged !== null && logged.latchedMs !== null) {
    const { provider, keyId, auto, latchedMs } = logged;
    return dropTdeLatch(log, { iid, provider, keyId, auto, atMs: latchedMs }, ports);
  }
  const latch = latchOf(latches);
  if (latch !== null) return dropTdeLatch(log, latch, ports);
  throw new IntegrityError('TM_LOG_AUTH', `TDE of ${iid} is on and every record of it is damaged`, {
    context: { iid, object: tdeMarkerKey(iid) },
    hint: 'use the key ring and the store this instance was written with: tidemark tde status',
  });
}

/**
 * Lets the latch fall in all three places. Repeating it after a crash at any step ends in the same.
 *
 * The marker goes first: where two ask for TDE at one time, its creation decides which key it is.
 * @returns What the three places say afterwards.
 */
export async function dropTdeLatch(
  log: InstanceLog,
  wanted: TdeLatch,
  ports: LatchPorts,
): Promise<Tde> {
  const { iid } = wanted;
  const latch = await putMarker(wanted, ports);
  const { stateDir, random, logKey } = ports;
  if (stateDir !== null) await putFile(stateDir, latch, encodeTdeLatch(latch, logKey), random);
  await log.catchUp();
  for (let appends = 0; nextEvent(log.state, latch) !== null; appends++) {
    if (appends >= APPENDS_MAX) {
      throw new CatalogError('TM_LOG_CONFLICT', `others change the TDE of ${iid} all the time`, {
        context: { iid, attempts: APPENDS_MAX },
        hint: 'try again',
      });
    }
    await log.append((state) => nextEvent(state, latch));
  }
  return tdeFrom(iid, log.state, await readLatches(iid, ports));
}

/** The event that the log still lacks; `null` when it says that the latch has fallen. */
function nextEvent(state: InstanceState, latch: TdeLatch): InstanceEvent | null {
  const { tde } = state;
  if (state.removedMs !== null || (tde !== null && tde.latchedMs !== null)) return null;
  const { provider, keyId, auto, atMs } = latch;
  const isAsked = tde !== null && tde.provider === provider && tde.keyId === keyId;
  if (isAsked) return { type: 'TdeLatched', provider, keyId, atMs };
  return { type: 'TdeRequested', provider, keyId, auto, atMs };
}

/** Creates the marker; gives what it says, which is another's word where one was faster. */
async function putMarker(wanted: TdeLatch, ports: LatchPorts): Promise<TdeLatch> {
  const { iid } = wanted;
  const { store, logKey, clock, random, retry, signal } = ports;
  const object = { key: tdeMarkerKey(iid), bytes: encodeTdeLatch(wanted, logKey) };
  const other = await createOnce(store, object, { clock, random, limits: retry, signal });
  if (other === null) return wanted;
  const { marker } = await readLatches(iid, ports);
  // A damaged one still says "on", and it cannot be written anew: the log and the file say the key.
  return marker === null || marker === 'damaged' ? wanted : marker;
}

async function putFile(
  stateDir: string,
  { iid }: TdeLatch,
  bytes: Buffer,
  random: Random,
): Promise<void> {
  const path = latchFilePath(stateDir, iid);
  try {
    await createLatchFile(path, bytes, random);
  } catch (cause) {
    throw new CatalogError('TM_CATALOG_DB', 'the TDE latch cannot be written to the state folder', {
      context: { path },
      hint: 'TDE stays as it is until the state folder can be written to',
      cause,
    });
  }
}
