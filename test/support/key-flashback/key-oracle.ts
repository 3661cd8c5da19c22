import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import type { NodeClient } from '@tidemark/client';
import { NodeError } from '@tidemark/core';
import { scanRdbEntries, valueKind } from '@tidemark/rdb';
import { printable } from '../oracle.ts';

/** What one key must be equal in. */
export interface KeyState {
  readonly db: number;
  readonly key: Buffer;
  /** As TYPE names it. */
  readonly type: string;
  /** Unix milliseconds; null = none. */
  readonly expiryMs: number | null;
  /** `DEBUG DIGEST-VALUE`: also of keys that are expired and still there. */
  readonly digest: string;
  /** Streams: ids, groups, consumers, pending entries, as JSON; null when hidden by their expiry. */
  readonly stream: string | null;
  /** Hashes: fields with an expiry that has not passed, as sorted JSON. */
  readonly fieldExpiry: string | null;
}

/** Keys by `<db> <printable key>`. */
export type KeyStates = ReadonlyMap<string, KeyState>;

/** Names a key as `KeyStates` does. */
export function keyName(db: number, key: Buffer): string {
  return `${db.toString()} ${printable(key)}`;
}

const PAGE_KEYS = 500;

/**
 * Every key that a server physically holds, whether its expiry has passed or not: keys and expiries
 * are read from an RDB that it saves, for a replica hides what is expired.
 *
 * The server must run on this machine, allow DEBUG, and nobody may write to it meanwhile.
 */
export async function readKeyStates(client: NodeClient): Promise<KeyStates> {
  const states = new Map<string, KeyState>();
  const byDb = new Map<number, PhysicalKey[]>();
  for (const key of await readPhysical(client)) {
    const list = byDb.get(key.db);
    if (list === undefined) byDb.set(key.db, [key]);
    else list.push(key);
  }
  for (const [db, keys] of byDb) {
    for (let start = 0; start < keys.length; start += PAGE_KEYS) {
      await readPage(client, db, keys.slice(start, start + PAGE_KEYS), states);
    }
  }
  return states;
}

interface PhysicalKey {
  readonly db: number;
  readonly key: Buffer;
  readonly type: string;
  readonly expiryMs: number | null;
}

async function readPhysical(client: NodeClient): Promise<PhysicalKey[]> {
  await client.call('SAVE');
  const { dir = '' } = await client.configGet('dir');
  const { dbfilename = '' } = await client.configGet('dbfilename');
  const keys: PhysicalKey[] = [];
  for await (const entries of scanRdbEntries(createReadStream(join(dir, dbfilename)))) {
    for (const { db, key, type, expiryMs } of entries) {
      keys.push({ db, key, type: valueKind(type), expiryMs });
    }
  }
  return keys;
}

async function readPage(
  client: NodeClient,
  db: number,
  keys: readonly PhysicalKey[],
  into: Map<string, KeyState>,
): Promise<void> {
  const hashes = keys.filter(({ type }) => type === 'hash');
  const streams = keys.filter(({ type }) => type === 'stream');
  const replies = await client.pipelineBuffer([
    ['SELECT', db],
    ['DEBUG', 'DIGEST-VALUE', ...keys.map(({ key }) => key)],
    ...hashes.map(({ key }) => ['HKEYS', key]),
    ...streams.map(({ key }) => ['XINFO', 'STREAM', key, 'FULL', 'COUNT', 0]),
    ['SELECT', 0],
  ]);
  const [selected, digests] = replies;
  for (const reply of [selected, digests]) if (reply instanceof Error) throw reply;
  const expiries = await readFieldExpiries(client, db, hashes, replies.slice(2));
  const facts = new Map(
    streams.map(({ key }, i) => {
      const reply = replies[2 + hashes.length + i];
      return [keyName(db, key), reply instanceof NodeError ? null : JSON.stringify(named(reply))];
    }),
  );
  for (const [i, one] of keys.entries()) {
    const name = keyName(db, one.key);
    into.set(name, {
      ...one,
      digest: String((digests as unknown[])[i]),
      stream: facts.get(name) ?? null,
      fieldExpiry: expiries.get(name) ?? null,
    });
  }
}

async function readFieldExpiries(
  client: NodeClient,
  db: number,
  hashes: readonly PhysicalKey[],
  fieldsOf: readonly unknown[],
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const asked = hashes
    .map(({ key }, i) => ({ key, fields: fieldsOf[i] as readonly Buffer[] }))
    .filter(({ fields }) => fields.length > 0);
  const replies = await client.pipeline([
    ['SELECT', db],
    ...asked.map(({ key, fields }) => ['HPEXPIRETIME', key, 'FIELDS', fields.length, ...fields]),
    ['SELECT', 0],
  ]);
  for (const [i, { key, fields }] of asked.entries()) {
    const times = replies[1 + i];
    if (!Array.isArray(times)) continue; // a server that has no such command
    const list = fields
      .map((field, at): [string, number] => [printable(field), Number(times[at])])
      .filter(([, time]) => time >= 0);
    if (list.length > 0) found.set(keyName(db, key), JSON.stringify(list.sort()));
  }
  return found;
}

/** Times of consumers and tree shapes are not promised (I1); everything else of a stream is. */
const STREAM_LEFT_OUT = new Set([
  'radix-tree-keys',
  'radix-tree-nodes',
  'seen-time',
  'active-time',
]);

/** A list of names and values as an object; groups and their consumers are such lists again. */
function named(reply: unknown): Record<string, unknown> {
  const list = Array.isArray(reply) ? (reply as readonly unknown[]) : [];
  const facts: Record<string, unknown> = {};
  for (let i = 0; i + 1 < list.length; i += 2) {
    const name = String(list[i]);
    const value = list[i + 1];
    if (STREAM_LEFT_OUT.has(name)) continue;
    const nested = (name === 'groups' || name === 'consumers') && Array.isArray(value);
    facts[name] = nested ? (value as readonly unknown[]).map(named) : plain(value);
  }
  return facts;
}

function plain(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return printable(value);
  return Array.isArray(value) ? (value as readonly unknown[]).map(plain) : value;
}

const FACTS = ['type', 'expiryMs', 'digest', 'stream', 'fieldExpiry'] as const;
const LINES_MAX = 30;

/**
 * Says in words where keys are not the same; empty = they are. At most 30 lines. What has expired
 * since one of them was read is hidden in the other: it counts by type, expiry and digest alone.
 */
export function diffKeyStates(wanted: KeyStates, found: KeyStates, nowMs = Date.now()): string[] {
  const lines: string[] = [];
  for (const name of new Set([...wanted.keys(), ...found.keys()])) {
    const [a, b] = [wanted.get(name), found.get(name)];
    if (a === undefined) lines.push(`${name}: must not be there (${b?.type ?? ''})`);
    else if (b === undefined) lines.push(`${name}: missing (${a.type})`);
    else {
      const [left, right] = [visible(a, nowMs), visible(b, nowMs)];
      for (const fact of FACTS) {
        if (left[fact] !== right[fact])
          lines.push(`${name}: ${fact} ${left[fact]} != ${right[fact]}`);
      }
    }
    if (lines.length >= LINES_MAX) return [...lines, '…'];
  }
  return lines;
}

function visible(state: KeyState, nowMs: number): KeyState {
  const { expiryMs, fieldExpiry } = state;
  if (expiryMs !== null && expiryMs <= nowMs) return { ...state, stream: null, fieldExpiry: null };
  const times = JSON.parse(fieldExpiry ?? '[]') as [string, number][];
  const left = times.filter(([, time]) => time > nowMs);
  return { ...state, fieldExpiry: left.length === 0 ? null : JSON.stringify(left) };
}

/** The states for which something holds. */
export function statesWhere(states: KeyStates, holds: (state: KeyState) => boolean): KeyStates {
  return new Map([...states].filter(([, state]) => holds(state)));
}

/**
 * Leaves out how many entries groups have read, and the lag that follows from it: Redis 7.0 does not
 * log a normal read of them, so no copy knows what the source does (docs/promises.md).
 */
export function withoutGroupCounters(states: KeyStates): KeyStates {
  const counters = /"(entries-read|lag)":(null|-?\d+),/g;
  return new Map(
    [...states].map(([name, state]) => [
      name,
      { ...state, stream: state.stream?.replace(counters, '') ?? null },
    ]),
  );
}
