import type { CommandBatch } from '../../decoder/command-batch.ts';
import {
  EXPIRY_KIND,
  EXPIRY_KIND_OF_SPEC,
  ExpirySite,
  isOfFields,
  mSetExOptions,
} from './expiry-site.ts';

/**
 * Told that a command gives a key an absolute expiry. `start` and `end` (exclusive) are positions
 * in `batch.data`; `expiryMs` is Unix milliseconds.
 */
export type ExpiryVisitor = (db: number, start: number, end: number, expiryMs: number) => void;

/**
 * Calls `visitor` for every key that a command of the batch, of rows `first` to `end` (exclusive),
 * gives an absolute expiry.
 *
 * These are candidates: a later command may move the expiry, remove it or overwrite the key.
 * Expiries of hash fields are not keys' and are not visited.
 * @returns Commands that set the expiry of a key which cannot be told: a relative time (logs of 6.x
 *   only), or a key that was elided.
 */
export function visitExpiries(
  batch: CommandBatch,
  visitor: ExpiryVisitor,
  first = 0,
  end = batch.count,
): number {
  const site = new ExpirySite();
  let untold = 0;
  for (let row = first; row < end; row += 1) {
    const spec = batch.spec[row] as number;
    if (EXPIRY_KIND_OF_SPEC[spec] === EXPIRY_KIND.none) continue;
    const argc = batch.argc[row] as number;
    if (EXPIRY_KIND_OF_SPEC[spec] === EXPIRY_KIND.set && argc === 3) continue;
    const at = batch.argAt[row] as number;
    if (!site.find(batch, at, argc, spec) || isOfFields(site.kind)) continue;
    if (site.relative || !visitRow(batch, row, site, visitor)) untold += 1;
  }
  return untold;
}

function visitRow(
  batch: CommandBatch,
  row: number,
  site: ExpirySite,
  visitor: ExpiryVisitor,
): boolean {
  const at = batch.argAt[row] as number;
  const db = batch.db[row] as number;
  const many = site.kind === EXPIRY_KIND.mSetEx;
  const first = many ? 2 : 1;
  const end = many ? mSetExOptions(batch, at, batch.argc[row] as number) : 2;
  let told = true;
  for (let index = first; index < end; index += 2) {
    const start = batch.argStart[at + index] as number;
    if (start < 0) told = false;
    else visitor(db, start, batch.argEnd[at + index] as number, site.timeMs);
  }
  return told;
}
