import type { UndoPiece } from '@tidemark/archive';
import { TidemarkError } from '@tidemark/core';
import type { PieceSource } from './piece-source.ts';

/** Pending entries that are asked for at once. */
const PENDING_PAGE = 500;
/** Entries that are pending and deleted: 20 bytes of memory each. */
const DELETED_MAX = 1_000_000;

/** A stream as `XINFO STREAM` tells. */
interface StreamFacts {
  readonly lastId: string;
  /** Redis 7.0: entries ever added, the highest id that was deleted. */
  readonly added: string | null;
  readonly deletedId: string | null;
}

interface PendingEntry {
  readonly id: string;
  readonly consumer: Buffer;
  readonly deliveredMs: number;
  readonly count: number;
}

/**
 * Reads a stream as commands that build it: entries with their ids, groups, consumers, what is
 * pending, and last the ids of the stream itself.
 *
 * A server gives an entry to a consumer only while it is in the stream: entries that are pending and
 * deleted are added, given and deleted again. The idempotency part of Redis 8.6 cannot be read.
 * @param after - The id that follows an id.
 */
export async function* readStream(
  source: PieceSource,
  after: (id: string) => string,
): AsyncGenerator<UndoPiece> {
  const facts = await streamFacts(source);
  const groups = await readGroups(source);
  const deleted = await deletedPending(source, groups, after);
  yield* readEntries(source, deleted, after);
  for (const { name, lastId, read } of groups) {
    // Counters of a group belong to 7.0 as those of the stream do.
    const counted = read === null ? [] : ['ENTRIESREAD', read];
    yield words('XGROUP CREATE', name, lastId, 'MKSTREAM', ...counted);
    yield* readConsumers(source, name);
    for await (const { id, consumer, deliveredMs, count } of pendingOf(source, name, after)) {
      yield words(
        'XCLAIM',
        name,
        consumer,
        0,
        id,
        'TIME',
        deliveredMs,
        'RETRYCOUNT',
        count,
        'FORCE',
        'JUSTID',
      );
    }
  }
  for (const id of deleted) yield words('XDEL', id);
  const { lastId, added, deletedId } = facts;
  const counters =
    added === null || deletedId === null ? [] : ['ENTRIESADDED', added, 'MAXDELETEDID', deletedId];
  yield words('XSETID', lastId, ...counters);
}

function words(command: string, ...args: readonly (string | number | Buffer)[]): UndoPiece {
  const bytes = args.map((arg) => (Buffer.isBuffer(arg) ? arg : Buffer.from(String(arg))));
  return { kind: 'piece', command, args: bytes };
}

async function streamFacts(source: PieceSource): Promise<StreamFacts> {
  const facts = named(await source.ask('XINFO STREAM'));
  const added = facts.get('entries-added');
  const deletedId = facts.get('max-deleted-entry-id');
  return {
    lastId: textOf(facts.get('last-generated-id')),
    added: added === undefined ? null : textOf(added),
    deletedId: deletedId === undefined ? null : textOf(deletedId),
  };
}

interface GroupFacts {
  readonly name: Buffer;
  readonly lastId: string;
  readonly read: string | null;
}

async function readGroups(source: PieceSource): Promise<readonly GroupFacts[]> {
  const groups = (await source.ask('XINFO GROUPS')) as readonly unknown[];
  return groups.map((group) => {
    const facts = named(group);
    // Nil: the server cannot tell; -1 says the same.
    const read = facts.has('entries-read') ? textOf(facts.get('entries-read') ?? -1) : null;
    return {
      name: facts.get('name') as Buffer,
      lastId: textOf(facts.get('last-delivered-id')),
      read,
    };
  });
}

async function* readConsumers(source: PieceSource, group: Buffer): AsyncGenerator<UndoPiece> {
  // XGROUP CREATECONSUMER came with 6.2; before, a claim makes the consumer.
  if (!source.side.abilities.manyMembers) return;
  for (const consumer of (await source.ask('XINFO CONSUMERS', group)) as readonly unknown[]) {
    yield words('XGROUP CREATECONSUMER', group, named(consumer).get('name') as Buffer);
  }
}

async function* pendingOf(
  source: PieceSource,
  group: Buffer,
  after: (id: string) => string,
): AsyncGenerator<PendingEntry> {
  let from = '-';
  for (;;) {
    const [time, found] = (await source.side.askAll(source.db, [
      ['TIME'],
      ['XPENDING', source.key, group, from, '+', PENDING_PAGE],
    ])) as [readonly Buffer[], readonly (readonly [Buffer, Buffer, number, number])[]];
    const nowMs = Number(time[0]) * 1000 + Math.floor(Number(time[1]) / 1000);
    for (const [id, consumer, idleMs, count] of found) {
      yield { id: id.toString(), consumer, deliveredMs: nowMs - idleMs, count };
    }
    const last = found.at(-1);
    if (last === undefined || found.length < PENDING_PAGE) return;
    from = after(last[0].toString());
  }
}

/** Ids that are pending in a group and not in the stream, in order. */
async function deletedPending(
  source: PieceSource,
  groups: readonly GroupFacts[],
  after: (id: string) => string,
): Promise<readonly string[]> {
  const deleted = new Set<string>();
  for (const { name } of groups) {
    let page: string[] = [];
    const look = async (): Promise<void> => {
      const found = (await source.side.askAll(
        source.db,
        page.map((id) => ['XRANGE', source.key, id, id, 'COUNT', 1]),
      )) as readonly (readonly unknown[])[];
      for (const [i, id] of page.entries()) if (found[i]?.length === 0) deleted.add(id);
      page = [];
      if (deleted.size <= DELETED_MAX) return;
      throw new TidemarkError('TM_LIMIT', 'a stream has too many pending entries that are deleted');
    };
    for await (const { id } of pendingOf(source, name, after)) {
      page.push(id);
      if (page.length === PENDING_PAGE) await look();
    }
    if (page.length > 0) await look();
  }
  return [...deleted].sort(compareIds);
}

async function* readEntries(
  source: PieceSource,
  deleted: readonly string[],
  after: (id: string) => string,
): AsyncGenerator<UndoPiece> {
  let next = 0;
  let from = '-';
  for (;;) {
    const count = source.page;
    const page = (await source.ask('XRANGE', from, '+', 'COUNT', count)) as readonly (readonly [
      Buffer,
      readonly Buffer[],
    ])[];
    let bytes = 0;
    for (const [idBytes, fields] of page) {
      const id = idBytes.toString();
      for (; next < deleted.length && compareIds(deleted[next] ?? '', id) < 0; next++) {
        yield words('XADD', deleted[next] ?? '', '', '');
      }
      yield words('XADD', id, ...fields);
      for (const field of fields) bytes += field.length;
    }
    source.learn(bytes, page.length);
    const last = page.at(-1);
    if (last === undefined || page.length < count) break;
    from = after(last[0].toString());
  }
  for (; next < deleted.length; next++) yield words('XADD', deleted[next] ?? '', '', '');
}

function compareIds(a: string, b: string): number {
  const [[aMs = 0n, aSeq = 0n], [bMs = 0n, bSeq = 0n]] = [a, b].map((id) =>
    id.split('-').map(BigInt),
  ) as [bigint[], bigint[]];
  if (aMs !== bMs) return aMs < bMs ? -1 : 1;
  return aSeq < bSeq ? -1 : Number(aSeq > bSeq);
}

/** A bulk string or a number of a reply. */
function textOf(reply: unknown): string {
  return Buffer.isBuffer(reply) ? reply.toString() : Number(reply).toString();
}

/** A flat list of names and values. */
function named(reply: unknown): ReadonlyMap<string, unknown> {
  const flat = reply as readonly unknown[];
  const facts = new Map<string, unknown>();
  for (let i = 0; i + 1 < flat.length; i += 2) facts.set(String(flat[i]), flat[i + 1]);
  return facts;
}
