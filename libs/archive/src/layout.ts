import { isSafeName, TidemarkError } from '@tidemark/core';

/** Digits of a padded number, so that keys sort as their numbers do: enough for 2^64. */
const DIGITS = 20;
const NUMBER_MAX = 18_446_744_073_709_551_615n;

/** The place of a writer in the archive. */
export interface WriterPlace {
  readonly iid: string;
  readonly shard: string;
  readonly writer: string;
}

/** What makes a segment's key its own. */
export interface SegmentPlace {
  readonly timeline: string;
  /** Offset of the first byte. */
  readonly start: bigint;
  /** Made afresh for every sealing, so that two sealings of one range never meet in one key. */
  readonly id: string;
}

/** Key of an instance's record: name, ids, format version. */
export function instanceRecordKey(iid: string): string {
  return `${instancePrefix(iid)}record`;
}

/** Key of an entry of an instance's log. */
export function instanceLogKey(iid: string, seq: number | bigint): string {
  return instanceLogPrefix(iid) + pad(seq);
}

/** Key of a checkpoint of an instance's log. */
export function instanceCheckpointKey(iid: string, seq: number | bigint): string {
  return instanceCheckpointPrefix(iid) + pad(seq);
}

/** Key of an entry of a writer's log. */
export function writerLogKey(
  iid: string,
  shard: string,
  writer: string,
  seq: number | bigint,
): string {
  return writerLogPrefix(iid, shard, writer) + pad(seq);
}

/** Key of a checkpoint of a writer's log. */
export function writerCheckpointKey(
  iid: string,
  shard: string,
  writer: string,
  seq: number | bigint,
): string {
  return writerCheckpointPrefix(iid, shard, writer) + pad(seq);
}

/** Key of a segment that is an object of its own. */
export function segmentKey(
  iid: string,
  shard: string,
  writer: string,
  segment: SegmentPlace,
): string {
  const { timeline, start, id } = segment;
  const folder = `${writerPrefix(iid, shard, writer)}seg/${name('timeline', timeline)}`;
  return `${folder}/${pad(start)}-${name('id', id)}`;
}

/** Key of a snapshot. `backupId` may hold `_`, as in `bk_…`. */
export function snapshotKey(iid: string, shard: string, writer: string, backupId: string): string {
  return `${writerPrefix(iid, shard, writer)}rdb/${name('backup', backupId)}`;
}

/** Key of a wrapped data key. */
export function wrappedKeyKey(iid: string, dekId: string, generation: number | bigint): string {
  return `v1/keys/${name('instance', iid)}/${name('data key', dekId)}/${pad(generation)}`;
}

/** Key of a part of an undo pack. */
export function undoPartKey(iid: string, restore: string, part: number): string {
  return undoPrefix(iid) + `${name('id', restore)}/${pad(part)}`;
}

/** Prefix of the undo packs of an instance. */
export function undoPrefix(iid: string): string {
  return `v1/undo/${name('instance', iid)}/`;
}

/** Key of the marker that says that TDE of an instance is on. */
export function tdeMarkerKey(iid: string): string {
  return `${tdePrefix(iid)}marker`;
}

/** Key of a canary: sealed, read back and opened to prove a wrapping key. */
export function tdeCanaryKey(iid: string, dekId: string): string {
  return `${tdePrefix(iid)}canary/${name('data key', dekId)}`;
}

/** Prefix of the marker and the canaries of an instance. */
export function tdePrefix(iid: string): string {
  return `v1/tde/${name('instance', iid)}/`;
}

/** Prefix of everything of one instance but its keys, undo packs and TDE marker. */
export function instancePrefix(iid: string): string {
  return `v1/instance/${name('instance', iid)}/`;
}

export function instanceLogPrefix(iid: string): string {
  return `${instancePrefix(iid)}log/`;
}

export function instanceCheckpointPrefix(iid: string): string {
  return `${instancePrefix(iid)}checkpoint/`;
}

/** Prefix of everything of one writer. */
export function writerPrefix(iid: string, shard: string, writer: string): string {
  return `${instancePrefix(iid)}${name('shard', shard)}/${name('writer', writer)}/`;
}

export function writerLogPrefix(iid: string, shard: string, writer: string): string {
  return `${writerPrefix(iid, shard, writer)}log/`;
}

export function writerCheckpointPrefix(iid: string, shard: string, writer: string): string {
  return `${writerPrefix(iid, shard, writer)}checkpoint/`;
}

export function wrappedKeyPrefix(iid: string): string {
  return `v1/keys/${name('instance', iid)}/`;
}

/** What an object key says. */
export type ObjectKeyParts =
  | { readonly kind: 'record'; readonly iid: string }
  | {
      readonly kind: 'instance-log' | 'instance-checkpoint';
      readonly iid: string;
      readonly seq: bigint;
    }
  | { readonly kind: 'tde-marker'; readonly iid: string }
  | { readonly kind: 'tde-canary'; readonly iid: string; readonly dekId: string }
  | ({ readonly kind: 'log' | 'checkpoint'; readonly seq: bigint } & WriterPlace)
  | ({ readonly kind: 'segment' } & WriterPlace & SegmentPlace)
  | ({ readonly kind: 'snapshot'; readonly backupId: string } & WriterPlace)
  | {
      readonly kind: 'wrapped-key';
      readonly iid: string;
      readonly dekId: string;
      readonly generation: bigint;
    }
  | {
      readonly kind: 'undo';
      readonly iid: string;
      readonly restore: string;
      readonly part: bigint;
    };

/**
 * Reads an object key back. Keys come from listings, so anything that no function above would have
 * made gives `null`: it is not ours.
 */
export function parseObjectKey(key: string): ObjectKeyParts | null {
  const parts = key.split('/');
  const [version, top, iid = '', ...rest] = parts;
  if (version !== 'v1' || !isSafeName(iid)) return null;
  if (top === 'keys') return parseWrappedKey(iid, rest);
  if (top === 'undo') return parseUndoPart(iid, rest);
  if (top === 'tde') return parseTdeKey(iid, rest);
  if (top !== 'instance') return null;
  if (rest.length === 1 && rest[0] === 'record') return { kind: 'record', iid };
  if (rest.length === 2 && (rest[0] === 'log' || rest[0] === 'checkpoint')) {
    const seq = unpad(rest[1]);
    return seq === null ? null : { kind: `instance-${rest[0]}`, iid, seq };
  }
  const [shard = '', writer = '', folder, ...names] = rest;
  if (!isSafeName(shard) || !isSafeName(writer)) return null;
  return parseWriterKey({ iid, shard, writer }, folder, names);
}

function parseWrappedKey(iid: string, rest: readonly string[]): ObjectKeyParts | null {
  const [dekId = '', last] = rest;
  const generation = unpad(last);
  if (rest.length !== 2 || !isSafeName(dekId) || generation === null) return null;
  return { kind: 'wrapped-key', iid, dekId, generation };
}

function parseTdeKey(iid: string, rest: readonly string[]): ObjectKeyParts | null {
  const [what, dekId = ''] = rest;
  if (rest.length === 1 && what === 'marker') return { kind: 'tde-marker', iid };
  if (rest.length !== 2 || what !== 'canary' || !isSafeName(dekId)) return null;
  return { kind: 'tde-canary', iid, dekId };
}

function parseUndoPart(iid: string, rest: readonly string[]): ObjectKeyParts | null {
  const [restore = '', last] = rest;
  const part = unpad(last);
  if (rest.length !== 2 || !isKeyName(restore) || part === null) return null;
  return { kind: 'undo', iid, restore, part };
}

function parseWriterKey(
  place: WriterPlace,
  folder: string | undefined,
  names: readonly string[],
): ObjectKeyParts | null {
  const [first = '', second = ''] = names;
  if (names.length === 1 && (folder === 'log' || folder === 'checkpoint')) {
    const seq = unpad(first);
    return seq === null ? null : { kind: folder, ...place, seq };
  }
  if (names.length === 1 && folder === 'rdb' && isKeyName(first)) {
    return { kind: 'snapshot', ...place, backupId: first };
  }
  if (names.length !== 2 || folder !== 'seg' || !isKeyName(first)) return null;
  const start = unpad(second.slice(0, DIGITS));
  const id = second.slice(DIGITS + 1);
  if (start === null || second[DIGITS] !== '-' || !isKeyName(id)) return null;
  return { kind: 'segment', ...place, timeline: first, start, id };
}

/** Ids with a type in front (`bk_…`, `tl_…`) hold one character more than a safe name may. */
function isKeyName(text: string): boolean {
  return isSafeName(text.replaceAll('_', '-'));
}

function name(what: string, text: string): string {
  const safe = what === 'backup' || what === 'timeline' || what === 'id' ? isKeyName : isSafeName;
  if (safe(text)) return text;
  throw new TidemarkError('TM_STORE_KEY', `this ${what} id cannot be part of an object key`, {
    context: { what, characters: text.length },
  });
}

function pad(value: number | bigint): string {
  const whole = typeof value === 'bigint' || Number.isSafeInteger(value);
  if (!whole || value < 0 || BigInt(value) > NUMBER_MAX) {
    throw new TidemarkError('TM_STORE_KEY', 'this number cannot be part of an object key', {
      context: { value },
    });
  }
  return value.toString().padStart(DIGITS, '0');
}

function unpad(text: string | undefined): bigint | null {
  if (text === undefined || !/^[0-9]{20}$/.test(text)) return null;
  const value = BigInt(text);
  return value > NUMBER_MAX ? null : value;
}
