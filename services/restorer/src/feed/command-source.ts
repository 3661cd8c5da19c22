import { rewriteCommandExpiry, tapCommands, type CommandBatch } from '@tidemark/aof';
import { segmentCommands } from '@tidemark/archive';
import { nameObject, type ByteSource } from '@tidemark/core';
import type { ObjectReader } from '../fetch/object-reader.ts';
import type { RestorePlan } from '../plan/restore-plan.ts';
import { newExpiry } from '../plan/ttl-rule.ts';
import { readAhead } from './read-ahead.ts';

/** At most twice these bytes are held: one segment of the usual size may come on top. */
const READ_AHEAD = { items: 4, bytes: 8 * 1024 * 1024 };

/**
 * The command stream of a plan from its snapshot to its cut, as it is fed: the same bytes every
 * time.
 *
 * It begins with a SELECT of the database that is selected at the snapshot, so that the target
 * does not depend on what it had selected.
 * @param onBatch - Sees every command that is fed.
 * @param guardFieldPersist - Redis 7.4 and newer ignores HPERSIST on a field whose time has passed,
 *   also as a replica; a far expiry is then sent before each of them.
 */
export async function* commandSource(
  plan: RestorePlan,
  reader: ObjectReader,
  onBatch: (batch: CommandBatch) => void,
  guardFieldPersist: boolean,
): ByteSource {
  const raw = tapCommands(rawCommands(plan, reader), onBatch);
  if (plan.ttl.mode === 'absolute' && !guardFieldPersist) yield* raw;
  else {
    yield* rewriteCommandExpiry(raw, {
      newExpiry: (expiryMs) => newExpiry(plan.ttl, expiryMs),
      guardFieldPersist,
    });
  }
}

async function* rawCommands(plan: RestorePlan, reader: ObjectReader): ByteSource {
  const [first] = plan.reads;
  if (first === undefined) return;
  const db = first.header.db.toString();
  yield Buffer.from(`*2\r\n$6\r\nSELECT\r\n$${db.length.toString()}\r\n${db}\r\n`, 'latin1');
  const ahead = readAhead(
    plan.reads.map(({ object }) => ({
      bytes: object.ref.size,
      read: () => reader.opened(object),
    })),
    READ_AHEAD,
  );
  let at = 0;
  for await (const payload of ahead) {
    const read = plan.reads[at++];
    if (read === undefined) return;
    try {
      yield* segmentCommands(payload, read.header, { from: read.from, to: read.to });
    } catch (cause) {
      throw nameObject(cause, reader.nameOf(read.object));
    }
  }
}

/** A stream without its first `count` bytes: what a target that has them still needs. */
export async function* skipBytes(source: ByteSource, count: bigint): ByteSource {
  let rest = count;
  for await (const part of source) {
    if (rest >= BigInt(part.length)) {
      rest -= BigInt(part.length);
      continue;
    }
    yield rest === 0n ? part : part.subarray(Number(rest));
    rest = 0n;
  }
}
