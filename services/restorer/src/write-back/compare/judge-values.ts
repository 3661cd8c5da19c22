import type { Argument } from '@tidemark/client';
import type { AdaptPayload, TargetDialect } from '@tidemark/aof';
import { NodeError } from '@tidemark/core';
import { hasFieldTtl } from '@tidemark/rdb';
import { OWN_TYPES } from '../../compare/key-facts.ts';
import { diffStream } from '../../compare/stream-facts.ts';
import { adaptPayloadFor } from '../../feed/adapt-payload.ts';
import { sameContent } from './content/same-content.ts';
import { DUMP_TAIL_BYTES, type FoundKey } from './read-states.ts';
import type { Side } from './side.ts';

/** From here on a version is Valkey's own numbering of types. */
const VALKEY_VERSION_MIN = 80;
/** First byte of a payload with metadata of the key (Redis 8.6). */
const KEY_META = 243;
/** A digest tells whether there is an expiry: what is written beside lives as long as this. */
const FAR_FUTURE_MS = 253_402_300_799_000;

/** A key that is there on both sides, with the same type and expiry, and other bytes. */
export interface Doubtful {
  readonly key: Buffer;
  readonly then: FoundKey;
  readonly live: FoundKey;
}

/** Where values are looked at. */
export interface JudgePlace {
  readonly then: Side;
  readonly live: Side;
  /** An empty database of the `then` server. */
  readonly spareDb: number;
  readonly dialect: TargetDialect;
}

/**
 * Tells which values are the same although their DUMPs differ: encodings, the order in sets and
 * hashes, the cuts between nodes and compression are no difference.
 *
 * A small value is written beside the other one, on the server that is ours alone, and their digests
 * are compared; what a digest leaves out is read from both servers. A large one, one with expiries
 * of fields and one that our server does not take are compared in pieces. A value of a module
 * differs when its DUMP does, or when it is too large for one.
 */
export class ValueJudge {
  readonly #place: JudgePlace;
  readonly #adapt: AdaptPayload;

  constructor(place: JudgePlace) {
    this.#place = place;
    const unchanged = { mode: 'absolute', atMs: 0, nowMs: 0 } as const;
    this.#adapt = adaptPayloadFor(place.dialect, unchanged);
  }

  /**
   * @param doubtful - Keys of one database; the payloads are bounded by the caller.
   * @returns For each whether the values are the same.
   * @throws NodeError when a server leaves or refuses.
   */
  async same(db: number, doubtful: readonly Doubtful[]): Promise<readonly boolean[]> {
    const verdicts: (boolean | null)[] = doubtful.map(({ then }) =>
      OWN_TYPES.has(then.type) ? null : false,
    );
    await this.#byDigest(db, doubtful, verdicts);
    const { then, live } = this.#place;
    for (const [i, { key, then: inThen, live: inLive }] of doubtful.entries()) {
      const { type } = inThen;
      const bytes = Math.max(inThen.bytes, inLive.bytes);
      if (verdicts[i] === null) {
        verdicts[i] = await unlessGone(sameContent({ then, live, db, key, bytes }, type));
      } else if (verdicts[i] && type === 'stream') {
        await Promise.all([then.client.call('SELECT', db), live.client.call('SELECT', db)]);
        verdicts[i] = await unlessGone(
          diffStream({ a: then.client, b: live.client }, key).then((what) => what === null),
        );
      }
    }
    return verdicts.map((verdict) => verdict === true);
  }

  /** Leaves null what a digest cannot tell. */
  async #byDigest(
    db: number,
    doubtful: readonly Doubtful[],
    verdicts: (boolean | null)[],
  ): Promise<void> {
    const { then, spareDb } = this.#place;
    const asked: { readonly at: number; readonly payload: Buffer }[] = [];
    for (const [at, { then: inThen, live: inLive }] of doubtful.entries()) {
      if (verdicts[at] !== null || inThen.payload === null || inLive.payload === null) continue;
      if (holdsFieldTtl(inThen.payload) || holdsFieldTtl(inLive.payload)) continue;
      const payload = this.#readable(inLive.payload);
      if (payload !== null) asked.push({ at, payload });
    }
    if (asked.length === 0) return;
    const names = asked.map((_, i) => i.toString());
    const written = await then.tryAll(spareDb, [
      ...asked.map(({ at, payload }, i): readonly Argument[] => {
        const expires = (doubtful[at]?.then.expiryMs ?? null) !== null;
        const expiry = expires ? FAR_FUTURE_MS : 0;
        return ['RESTORE', i, expiry, payload, 'REPLACE', 'ABSTTL'];
      }),
      ['DEBUG', 'DIGEST-VALUE', ...names],
      ['UNLINK', ...names],
    ]);
    const theirs = digests(written.at(-2));
    const keys = asked.map(({ at }) => doubtful[at]?.key ?? Buffer.alloc(0));
    const ours = digests(await then.ask(db, ['DEBUG', 'DIGEST-VALUE', ...keys]));
    for (const [i, { at }] of asked.entries()) {
      if (!(written[i] instanceof Error)) verdicts[at] = ours[i] === theirs[i];
    }
  }

  /** The payload in a form that our server takes; null when there is none. */
  #readable(payload: Buffer): Buffer | null {
    const adapted = this.#adapt(payload, 'value');
    if (adapted === null) return payload;
    return Buffer.isBuffer(adapted) ? adapted : null;
  }
}

/** A key, or a group of a stream, that is taken away or made anew meanwhile is another value. */
async function unlessGone(verdict: Promise<boolean>): Promise<boolean> {
  try {
    return await verdict;
  } catch (cause) {
    const reply = cause instanceof NodeError ? String(cause.context.reply) : '';
    if (/^(WRONGTYPE|NOGROUP|ERR no such key)/.test(reply)) return false;
    throw cause;
  }
}

/** The server says what it cannot do: without digests there is nothing to go by. */
function digests(reply: unknown): readonly string[] {
  if (reply instanceof Error) throw reply;
  return (reply as readonly Buffer[]).map(String);
}

/** Whether it may be a hash with expiries of fields. */
export function holdsFieldTtl(payload: Buffer): boolean {
  const type = payload[0] ?? 0;
  const end = payload.length - DUMP_TAIL_BYTES;
  if (end < 1) return false;
  const product = payload.readUInt16LE(end) >= VALKEY_VERSION_MIN ? 'valkey' : 'redis';
  // The type stands behind the metadata: then it is compared in pieces, which is right for all.
  return (product === 'redis' && type === KEY_META) || hasFieldTtl(product, type);
}
