import type { NodeClient } from '@tidemark/client';
import { NodeError } from '@tidemark/core';

const PENDING_PAGE = 500;
/** Times of delivery are asked for as ages, one server after the other. */
const DELIVERY_MS_MAX = 1_000;

/**
 * Not promised (docs/promises.md), or the shape of a tree: `entries-read` and `lag` of groups are
 * not logged at a read before Redis 8.
 */
const LEFT_OUT = new Set([
  'radix-tree-keys',
  'radix-tree-nodes',
  'seen-time',
  'active-time',
  'entries-read',
  'lag',
  'entries',
  'pel',
  'pending',
]);

const SEQ_MAX = 0xffff_ffff_ffff_ffffn;

/** Two servers, the same database selected on both. */
interface Servers {
  readonly a: NodeClient;
  readonly b: NodeClient;
}

/**
 * Compares what is about the entries of a stream: ids, groups, consumers, what is pending. What only
 * one of the servers tells, being of a later version, is left out.
 */
export async function diffStream({ a, b }: Servers, key: Buffer): Promise<string | null> {
  const words = ['XINFO', 'STREAM', key, 'FULL', 'COUNT', 1] as const;
  const [inA, inB] = (await Promise.all([a.callBuffer(...words), b.callBuffer(...words)])).map(
    named,
  );
  if (!alike(inA, inB)) return 'ids or groups of the stream';
  for (const group of groupsOf(await a.callBuffer('XINFO', 'GROUPS', key))) {
    if (await pendingDiffers({ a, b }, key, group)) return 'pending entries of the stream';
  }
  return null;
}

interface Pending {
  readonly id: string;
  readonly consumer: string;
  readonly deliveredMs: number;
  readonly count: number;
}

async function pendingDiffers({ a, b }: Servers, key: Buffer, group: Buffer): Promise<boolean> {
  let from = '-';
  for (;;) {
    const [inA, inB] = await Promise.all([
      pendingFrom(a, key, group, from),
      pendingFrom(b, key, group, from),
    ]);
    if (inA.length !== inB.length) return true;
    for (const [i, one] of inA.entries()) {
      const other = inB[i];
      if (other === undefined || one.id !== other.id || one.consumer !== other.consumer)
        return true;
      if (one.count !== other.count) return true;
      if (Math.abs(one.deliveredMs - other.deliveredMs) > DELIVERY_MS_MAX) return true;
    }
    const last = inA.at(-1);
    if (last === undefined || inA.length < PENDING_PAGE) return false;
    from = nextStreamId(last.id);
  }
}

/** The id right after one; ranges that leave their start out came only with 6.2. */
export function nextStreamId(id: string): string {
  const [ms = '0', seq = '0'] = id.split('-');
  const next = BigInt(seq) + 1n;
  return next > SEQ_MAX ? `${(BigInt(ms) + 1n).toString()}-0` : `${ms}-${next.toString()}`;
}

async function pendingFrom(
  client: NodeClient,
  key: Buffer,
  group: Buffer,
  from: string,
): Promise<readonly Pending[]> {
  const [time, rows] = await client.pipeline([
    ['TIME'],
    ['XPENDING', key, group, from, '+', PENDING_PAGE],
  ]);
  if (rows instanceof NodeError) throw rows;
  const [second, micros] = (time as readonly string[]).map(Number);
  const nowMs = (second ?? 0) * 1000 + Math.floor((micros ?? 0) / 1000);
  return (rows as readonly (readonly [string, string, number, number])[]).map(
    ([id, consumer, idleMs, count]) => ({ id, consumer, deliveredMs: nowMs - idleMs, count }),
  );
}

function groupsOf(reply: unknown): Buffer[] {
  const groups = Array.isArray(reply) ? (reply as unknown[][]) : [];
  return groups.map((facts) => {
    const at = facts.findIndex((word) => Buffer.isBuffer(word) && word.toString() === 'name');
    return facts[at + 1] as Buffer;
  });
}

/** A list of names and values as an object; groups and their consumers are such lists again. */
function named(reply: unknown): Record<string, unknown> {
  const list = Array.isArray(reply) ? (reply as unknown[]) : [];
  const facts: Record<string, unknown> = {};
  for (let i = 0; i + 1 < list.length; i += 2) {
    const name = String(list[i]);
    const value = list[i + 1];
    if (LEFT_OUT.has(name)) continue;
    const nested = (name === 'groups' || name === 'consumers') && Array.isArray(value);
    facts[name] = nested ? (value as unknown[]).map(named) : plain(value);
  }
  return facts;
}

/** Compares facts by the names that both have. */
function alike(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) {
    const others: readonly unknown[] = b;
    return a.length === b.length && a.every((one, i) => alike(one, others[i]));
  }
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  const others = new Map(Object.entries(b));
  return Object.entries(a).every(
    ([name, one]) => !others.has(name) || alike(one, others.get(name)),
  );
}

function plain(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return value.toString('latin1');
  return Array.isArray(value) ? (value as unknown[]).map(plain) : value;
}
