import type { DataKey } from '@tidemark/crypto';
import { WireSpool } from '../../wire/wire-spool.ts';
import type { WirePlace } from '../../wire/wire-types.ts';
import type { SourceOpener, SourceResume, SourceSetting } from '../capture-source.ts';
import { holdsPlace } from './holds-place.ts';
import { ASIDE_NAMES, PsyncSource } from './psync-source.ts';
import { ReceiveLine } from './receive-line.ts';
import { ResyncNoteFile } from './resync-note.ts';

/** Where a capture by replication keeps what it received. */
export interface PsyncTarget {
  /** Folder of the wire spool. */
  readonly dir: string;
  readonly bytesMax: number;
  /** The local spool key. */
  readonly key: () => Promise<DataKey>;
}

/** Opens the replication stream of a node. */
export function psyncOpener(target: PsyncTarget): SourceOpener {
  return {
    kind: 'psync',
    // A node that does not answer is waited for: what was received before can be shipped.
    check: () => Promise.resolve(),
    open: (setting) => openPsync(target, setting),
  };
}

async function openPsync(
  { dir, bytesMax, key }: PsyncTarget,
  setting: SourceSetting,
): Promise<PsyncSource> {
  const { writer, random, resume, locator, clock, logger } = setting;
  const spool = await WireSpool.open({ dir, key: await key(), writer, bytesMax, random });
  try {
    for (const name of ASIDE_NAMES) await spool.dropAside(name);
    const note = new ResyncNoteFile(`${dir}.resync`);
    const lastSeq = Math.max(resume?.cursor.seq ?? -1, spool.newest?.history.seq ?? -1);
    const begin = await beginOf(spool, resume);
    const stop = new AbortController();
    const signal = AbortSignal.any([setting.signal, stop.signal]);
    const line = new ReceiveLine({
      ...{ spool, bytesMax, locator, note, clock, random, logger },
      noted: await note.read(),
      nextSeq: lastSeq + 1,
      goesOn: begin !== null,
      signal,
    });
    const reader = spool.read(begin ?? { seq: lastSeq + 1, ino: '0', position: 0n });
    const resumeAt = resume === null ? null : begin;
    return new PsyncSource({ setting, spool, line, reader, resumeAt, stop, signal });
  } catch (cause) {
    await spool[Symbol.asyncDispose]();
    throw cause;
  }
}

/**
 * Where reading begins; null when a full resync has to come first. What lies before is released, and
 * what is of no use too: nobody would read it, and a full spool takes nothing more.
 */
async function beginOf(spool: WireSpool, resume: SourceResume | null): Promise<WirePlace | null> {
  const begin = resume === null ? unloggedPlace(spool) : await resumedPlace(spool, resume);
  if (begin === null) await spool.dropHistories();
  else await spool.releaseBefore(begin);
  return begin;
}

/** The beginning of a history whose timeline was never logged, if all of it is here. */
function unloggedPlace({ newest }: WireSpool): WirePlace | null {
  const offset = newest?.history.snapshotOffset ?? null;
  if (newest?.snapshot !== 'whole' || offset === null || newest.from !== offset) return null;
  return { seq: newest.history.seq, ino: newest.history.ino, position: offset };
}

async function resumedPlace(
  spool: WireSpool,
  { cursor, back, needsBase }: SourceResume,
): Promise<WirePlace | null> {
  const { seq, ino, file: replid } = cursor;
  const place = { seq, ino, position: BigInt(cursor.position - back) };
  // A later history that is here tells by itself what it means for the one that was logged last.
  const leadsOn = await holdsPlace(spool, place, cursor);
  if (needsBase && !(leadsOn && spool.kept(ino)?.snapshot === 'whole')) return null;
  if (leadsOn) return place;
  await spool.dropHistories();
  await spool.join({ seq, ino, replid, offset: place.position });
  return place;
}
