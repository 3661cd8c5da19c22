import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';

type Reply = string | number | Buffer | null | Error | readonly Reply[];

/** What is compared of one key. Values are compared by their digest. */
export interface KeyFacts {
  readonly type: string;
  /** Unix milliseconds; -1 without expiry. Before 7.0 the nearest that the server can tell. */
  readonly expiryMs: number;
  /** `DEBUG DIGEST-VALUE`, or null where DEBUG is not allowed. */
  readonly digest: string | null;
  /** Streams: `XINFO STREAM … FULL COUNT 0` as JSON, without what I1 leaves out. */
  readonly stream: string | null;
  /** Hashes with field expiries: field to Unix milliseconds, as sorted JSON. */
  readonly fieldExpiry: string | null;
  /** Hashes and sorted sets, when they are wanted: every field or member. */
  readonly fields: readonly FieldFacts[] | null;
}

/** Name in printable form; expiry (-1 without) and digest of the value, or score as text. */
export type FieldFacts = readonly [name: string, expiryMs: number, value: string];

/** What is read beside the rest. */
export interface OracleOptions {
  /** Every field of hashes and member of sorted sets: servers differ in how they digest these. */
  readonly hashes?: boolean;
}

/** What is compared of one database. */
export interface DatabaseFacts {
  /** Counts also keys that are expired but still there, which SCAN leaves out on a replica. */
  readonly dbSize: number;
  /** Key in printable form (bytes outside ASCII escaped) to its facts. */
  readonly keys: ReadonlyMap<string, KeyFacts>;
}

/** All that two servers must agree on for I1 (design.md section 2). */
export interface Oracle {
  /** `DEBUG DIGEST` over all databases, expired keys included; null where DEBUG is not allowed. */
  readonly digest: string | null;
  readonly databases: ReadonlyMap<number, DatabaseFacts>;
  /** Library name to code. */
  readonly functions: ReadonlyMap<string, string>;
}

const PAGE_KEYS = 500;
/** What HPEXPIRETIME says of a field that is not there. */
const FIELD_GONE = -2;

/**
 * Reads the equality oracle of a server over an own connection.
 *
 * It may be asked of a replica that is not promoted yet: keys that are logically expired show in
 * `dbSize` and `digest` only. The data must not change meanwhile.
 */
export async function readOracle(client: Redis, options: OracleOptions = {}): Promise<Oracle> {
  const own = client.duplicate({ lazyConnect: true, retryStrategy: () => null });
  own.on('error', () => undefined);
  await own.connect();
  try {
    const digest = await optional(own.call('DEBUG', 'DIGEST'));
    const at = {
      client: own,
      debug: digest !== null,
      fieldTtl: await knowsCommand(own, 'HPEXPIRETIME'),
      expiryTime: await knowsCommand(own, 'PEXPIRETIME'),
      fields: options.hashes === true,
    };
    const databases = new Map<number, DatabaseFacts>();
    for (const [, db] of (await own.info('keyspace')).matchAll(/^db(\d+):/gm)) {
      databases.set(Number(db), await readDatabase(at, Number(db)));
    }
    return { digest, databases, functions: await readFunctions(own) };
  } finally {
    own.disconnect();
  }
}

async function optional(reply: Promise<unknown>): Promise<string | null> {
  try {
    return String(await reply);
  } catch {
    return null;
  }
}

async function knowsCommand(client: Redis, name: string): Promise<boolean> {
  const [facts] = (await client.call('COMMAND', 'INFO', name)) as Reply[];
  return Array.isArray(facts);
}

/** A connection, and what its server can tell. */
interface Reader {
  readonly client: Redis;
  readonly debug: boolean;
  readonly fieldTtl: boolean;
  readonly expiryTime: boolean;
  readonly fields: boolean;
}

async function readDatabase(at: Reader, db: number): Promise<DatabaseFacts> {
  const { client } = at;
  await client.select(db);
  const keys = new Map<string, KeyFacts>();
  let cursor = '0';
  do {
    const [next, page] = (await client.callBuffer('SCAN', cursor, 'COUNT', PAGE_KEYS)) as [
      Buffer,
      Buffer[],
    ];
    cursor = next.toString();
    if (page.length > 0) await readPage(at, page, keys);
  } while (cursor !== '0');
  return { dbSize: await client.dbsize(), keys };
}

async function readPage(
  at: Reader,
  page: readonly Buffer[],
  into: Map<string, KeyFacts>,
): Promise<void> {
  const { client } = at;
  const types = (await Promise.all(page.map((key) => client.call('TYPE', key)))) as string[];
  const expiries = await readExpiryTimes(at, page);
  const digests = at.debug
    ? ((await client.call('DEBUG', 'DIGEST-VALUE', ...page)) as string[])
    : [];
  for (const [i, key] of page.entries()) {
    const type = types[i] ?? 'none';
    if (type === 'none') continue; // expired since SCAN
    into.set(printable(key), {
      type,
      expiryMs: expiries[i] ?? -1,
      digest: digests[i] ?? null,
      stream: type === 'stream' ? await readStream(client, key) : null,
      fieldExpiry: type === 'hash' && at.fieldTtl ? await readFieldExpiry(client, key) : null,
      fields: at.fields ? await readFields(at, key, type) : null,
    });
  }
}

async function readExpiryTimes(at: Reader, page: readonly Buffer[]): Promise<number[]> {
  const { client } = at;
  if (at.expiryTime) {
    const times = await Promise.all(page.map((key) => client.call('PEXPIRETIME', key)));
    return times.map(Number);
  }
  // Exact only when both times fall into one millisecond: on a busy machine that takes some tries.
  for (let attempt = 1; ; attempt++) {
    const reply = (await client.eval(TIMES_LEFT, page.length, ...page)) as number[];
    const [before = 0, after = 0, ...left] = reply;
    if (before !== after && attempt < TRIES_MAX) continue;
    return left.map((ms) => (ms < 0 ? ms : before + ms));
  }
}

/** Before 7.0 only the time left can be asked for. A script, for a transaction would be logged. */
const TIMES_LEFT = `
  local function now()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
  end
  local times = { now(), 0 }
  for _, key in ipairs(KEYS) do times[#times + 1] = redis.call('PTTL', key) end
  times[2] = now()
  return times`;
const TRIES_MAX = 100;

/** Times and tree shapes are not promised (I1); everything else of a stream is. */
const STREAM_LEFT_OUT = new Set([
  'radix-tree-keys',
  'radix-tree-nodes',
  'seen-time',
  'active-time',
]);

async function readStream(client: Redis, key: Buffer): Promise<string> {
  const reply = await client.callBuffer('XINFO', 'STREAM', key, 'FULL', 'COUNT', 0);
  return JSON.stringify(named(reply as Reply));
}

/** A list of names and values as an object; groups and their consumers are such lists again. */
function named(reply: Reply): Record<string, unknown> {
  const list = Array.isArray(reply) ? (reply as readonly Reply[]) : [];
  const facts: Record<string, unknown> = {};
  for (let i = 0; i + 1 < list.length; i += 2) {
    const name = String(list[i]);
    const value = list[i + 1] ?? null;
    if (STREAM_LEFT_OUT.has(name)) continue;
    const nested = (name === 'groups' || name === 'consumers') && Array.isArray(value);
    facts[name] = nested ? (value as readonly Reply[]).map(named) : plain(value);
  }
  return facts;
}

function plain(reply: Reply): unknown {
  if (Buffer.isBuffer(reply)) return printable(reply);
  return Array.isArray(reply) ? (reply as readonly Reply[]).map(plain) : reply;
}

async function readFieldExpiry(client: Redis, key: Buffer): Promise<string | null> {
  const fields = (await client.callBuffer('HKEYS', key)) as Buffer[];
  const times = await readFieldTimes(client, key, fields);
  const found = fields
    .map((field, i): [string, number] => [printable(field), times[i] ?? -1])
    .filter(([, time]) => time >= 0);
  if (found.length === 0) return null;
  return JSON.stringify(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}

async function readFields(at: Reader, key: Buffer, type: string): Promise<FieldFacts[] | null> {
  if (type === 'zset') return readMembers(at.client, key);
  if (type !== 'hash') return null;
  const pairs = (await at.client.callBuffer('HGETALL', key)) as Buffer[];
  const names = pairs.filter((_, i) => i % 2 === 0);
  const times = at.fieldTtl ? await readFieldTimes(at.client, key, names) : [];
  return names
    .map((name, i): FieldFacts => {
      const value = createHash('sha256').update(pairs[2 * i + 1] ?? '');
      return [printable(name), times[i] ?? -1, value.digest('hex')];
    })
    .filter(([, time]) => time !== FIELD_GONE) // expired since it was listed
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

async function readMembers(client: Redis, key: Buffer): Promise<FieldFacts[]> {
  const pairs = (await client.callBuffer('ZRANGE', key, 0, -1, 'WITHSCORES')) as Buffer[];
  const members = pairs.filter((_, i) => i % 2 === 0);
  // As a number: servers write one score in several ways.
  return members.map((member, i) => [printable(member), -1, scoreOf(pairs[2 * i + 1])]);
}

function scoreOf(text: Buffer | undefined): string {
  const score = String(text).replace('inf', 'Infinity');
  return Number(score).toString();
}

/** Expiry of each field; -1 without, -2 of one that is gone. */
async function readFieldTimes(
  client: Redis,
  key: Buffer,
  fields: readonly Buffer[],
): Promise<number[]> {
  const all: number[] = [];
  for (let start = 0; start < fields.length; start += PAGE_KEYS) {
    const part = fields.slice(start, start + PAGE_KEYS);
    const times = await client.call('HPEXPIRETIME', key, 'FIELDS', part.length, ...part);
    all.push(...(times as number[]));
  }
  return all;
}

async function readFunctions(client: Redis): Promise<Map<string, string>> {
  const found: [string, string][] = [];
  if (!(await knowsCommand(client, 'FUNCTION'))) return new Map();
  const libraries = (await client.call('FUNCTION', 'LIST', 'WITHCODE')) as unknown[][];
  for (const library of libraries) {
    const valueOf = (name: string): string => String(library[library.indexOf(name) + 1]);
    found.push([valueOf('library_name'), valueOf('library_code')]);
  }
  return new Map(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A key in printable form, as the oracle names it: bytes outside ASCII escaped. */
export function printable(bytes: Buffer): string {
  return bytes
    .toString('latin1')
    .replace(
      /[\\\x00-\x1f\x7f-\xff]/g,
      (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
    );
}

const DIFFERENCES_MAX = 50;
const NO_KEYS: ReadonlyMap<string, KeyFacts> = new Map();

/**
 * Says in words where two oracles differ; empty when they are equal. At most 50 lines; a digest
 * that differs while all else is equal is a line of its own.
 */
export function diffOracle(a: Oracle, b: Oracle): string[] {
  const lines: string[] = [];
  for (const db of unionOf(a.databases, b.databases)) {
    const [inA, inB] = [a.databases.get(db), b.databases.get(db)];
    const [sizeA, sizeB] = [inA?.dbSize ?? 0, inB?.dbSize ?? 0];
    if (sizeA !== sizeB) lines.push(`db ${db}: DBSIZE ${sizeA} != ${sizeB}`);
    const keysA = inA?.keys ?? NO_KEYS;
    const keysB = inB?.keys ?? NO_KEYS;
    for (const key of unionOf(keysA, keysB)) {
      diffKey(`db ${db} key "${key}"`, keysA.get(key), keysB.get(key), lines);
    }
  }
  for (const name of unionOf(a.functions, b.functions)) {
    if (a.functions.get(name) !== b.functions.get(name)) lines.push(`function library ${name}`);
  }
  if (a.digest !== b.digest) lines.push(`DEBUG DIGEST ${a.digest} != ${b.digest}`);
  if (lines.length <= DIFFERENCES_MAX) return lines;
  return [...lines.slice(0, DIFFERENCES_MAX), `… and ${lines.length - DIFFERENCES_MAX} more`];
}

function diffKey(
  label: string,
  a: KeyFacts | undefined,
  b: KeyFacts | undefined,
  lines: string[],
): void {
  if (a === undefined || b === undefined) {
    lines.push(`${label}: only in the ${a === undefined ? 'second' : 'first'}`);
    return;
  }
  for (const fact of ['type', 'expiryMs', 'digest', 'stream', 'fieldExpiry'] as const) {
    if (a[fact] !== b[fact]) lines.push(`${label}: ${fact} ${a[fact]} != ${b[fact]}`);
  }
  const [left, right] = [JSON.stringify(a.fields), JSON.stringify(b.fields)];
  if (left !== right) lines.push(`${label}: fields ${left} != ${right}`);
}

function unionOf<K>(a: ReadonlyMap<K, unknown>, b: ReadonlyMap<K, unknown>): Set<K> {
  return new Set([...a.keys(), ...b.keys()].sort((x, y) => (x < y ? -1 : 1)));
}
