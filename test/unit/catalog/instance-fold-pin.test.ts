import { createHash } from 'node:crypto';
import {
  EMPTY_INSTANCE_STATE,
  evolveInstance,
  type InstanceEvent,
  type InstanceEventType,
} from '@tidemark/catalog';
import { expect, it } from 'vitest';
import { encodeInstanceCheckpoint } from '../../../libs/catalog/src/log/instance-checkpoint.ts';
import { LOG_KEY } from '../../support/log-events.ts';

const DAY_MS = 86_400_000;
const [atMs, by] = [1_000, 'ops'];
const ring = { provider: 'ring', keyId: 'ring-1' };
const kms = { provider: 'aws-kms', keyId: 'arn:aws:kms:eu-1:1:key/1' };
const created = { type: 'InstanceCreated', iid: 'orders', name: 'Orders', atMs } as const;
const [writer, other] = ['0-aof-1', '0-psync-1'];
const lease = { fromSecond: 5, untilMs: 2_000, atMs };
const claim = { kind: 'restore', by, worker: 'h1.1', attempt: 1, untilMs: 2_000, atMs };
const tombstone = {
  type: 'ExpiryTombstoned',
  ...{ retainSeconds: 60, forced: false, objects: 3, bytes: 900, dueMs: 9_000, atMs },
} as const;
const floor = { writer, timeline: 't1', offset: 10n };
const recycled = {
  type: 'InstanceRecycled',
  node: { url: 'redis://h:1', user: null, source: 'aof', passwordRef: 'recycle-orders.pass' },
  ...{ by, untilMs: 3 * DAY_MS, atMs },
} as const;

/** Fixed logs with every kind of event. A new kind gets a log of its own: those that stand here stay. */
const LOGS = {
  captures: [
    created,
    { type: 'WriterRegistered', shard: '0', writer, source: 'aof', atMs },
    { type: 'WriterRegistered', shard: '0', writer: other, source: 'psync', atMs },
    { type: 'WriterRetired', writer, atMs: 1_500 },
    {
      type: 'StoreProbed',
      ...{ url: 's3://b', conditionalCreate: true, multipartConditional: 'holds', ranges: true },
      ...{ listingOrdered: true, objectLock: null, versioning: false, warnings: ['w'], atMs },
    },
    { type: 'OriginalRestoreSet', allowed: true, atMs },
    { type: 'InstanceRemoved', atMs: 1_600 },
  ],
  policy: [
    created,
    { type: 'PolicySet', policy: { days: ['mon'], hours: ['03:00'], retainSeconds: 60 }, atMs },
    {
      type: 'PolicySet',
      policy: {
        ...{ days: ['sun'], hours: ['03:00Z-04:00Z'], retainSeconds: 61 },
        ...{ timeZone: 'Europe/Berlin', keepLast: 3, flashback: false },
      },
      ...{ by, atMs: 1_700 },
    },
  ],
  keys: [
    created,
    { type: 'KeyAdopted', ...ring, atMs },
    { type: 'TdeRequested', ...kms, auto: true, atMs },
    { type: 'TdeLatched', ...kms, atMs: 1_100 },
    { type: 'TdeEnabled', backup: 'bk_1', atMs: 1_200 },
    { type: 'TdeKeyChanged', ...kms, keyId: `${kms.keyId}2`, auto: false, atMs: 1_300 },
    { type: 'KeyShredded', scope: 'snapshot', dekIds: ['b'.repeat(32), 'a'.repeat(32)], atMs },
    { type: 'KeyShredded', scope: 'instance', dekIds: null, atMs: 1_400 },
  ],
  leases: [
    created,
    { type: 'LeaseTaken', lease: 'ls-1', purpose: 'restore', ...lease },
    { type: 'LeaseTaken', lease: 'ls-2', purpose: 'backup', ...lease },
    { type: 'LeaseTaken', lease: 'hold-bk_1', purpose: 'hold', ...lease },
    { type: 'LeaseRenewed', lease: 'ls-2', untilMs: 3 * DAY_MS, atMs: 1_500 },
    // Those that ended by themselves a day ago are dropped.
    { type: 'LeaseTaken', lease: 'ls-3', purpose: 'restore', ...lease, atMs: 2 * DAY_MS },
    { type: 'LeaseReleased', lease: 'ls-3', atMs: 2 * DAY_MS },
  ],
  retention: [
    created,
    { type: 'BackupDeleted', backup: 'bk_1', by, atMs },
    {
      ...{ ...tombstone, tombstone: 'ts-1', floors: [floor], cuts: [{ writer, seq: 1_024 }] },
      unnamed: { objects: 1, bytes: 9, digest: 'c'.repeat(64) },
      backups: ['bk_1'],
    },
    { type: 'ExpiryRevoked', tombstone: 'ts-1', atMs },
    { ...tombstone, tombstone: 'ts-2', floors: [floor], cuts: [], unnamed: null },
    { type: 'ExpiryBegun', tombstone: 'ts-2', atMs },
    { type: 'ExpiryDone', tombstone: 'ts-2', atMs },
    {
      ...{ ...tombstone, tombstone: 'ts-3', cuts: [], unnamed: null, backups: ['bk_1'] },
      floors: [
        { ...floor, offset: 20n },
        { ...floor, writer: other },
      ],
    },
    { type: 'ExpiryBegun', tombstone: 'ts-3', atMs },
    { type: 'ExpiryDone', tombstone: 'ts-3', atMs },
    { type: 'BackupsForgotten', backups: ['bk_1'], atMs },
  ],
  backups: [
    created,
    { type: 'BackupLabelled', backup: 'bk_2', labels: [{ key: 'a', value: '1' }], by, atMs },
    { type: 'BackupLabelled', backup: 'bk_1', labels: [{ key: 'b', value: '2' }], by, atMs },
    { type: 'BackupLabelled', backup: 'bk_1', labels: [], by, atMs },
    { type: 'BackupDeleted', backup: 'bk_2', by, atMs: 1_500 },
    { type: 'BackupUndeleted', backup: 'bk_2', by, atMs: 1_600 },
  ],
  jobs: [
    created,
    { type: 'JobClaimed', job: 'job-1', ...claim },
    { type: 'JobRenewed', job: 'job-1', worker: 'h1.1', untilMs: 3_000 },
    { type: 'JobClaimed', job: 'job-2', ...claim, kind: 'backup' },
    { type: 'JobEnded', job: 'job-1', worker: 'h1.1', outcome: 'waiting', atMs: 2_500 },
    { type: 'JobEnded', job: 'job-2', worker: 'h1.1', outcome: 'succeeded', atMs: 2_600 },
    { type: 'JobClaimed', job: 'job-1', ...claim, attempt: 2, atMs: 9 * DAY_MS },
  ],
  recycle: [
    created,
    { type: 'WriterRegistered', shard: '0', writer, source: 'aof', atMs },
    recycled,
    { type: 'InstanceRebuilt', into: 'orders-2', job: 'job-1', by, atMs },
    { type: 'InstanceDue', atMs: 1_700 },
    { type: 'InstanceReturned', by, atMs },
    { ...recycled, node: null },
    { type: 'InstanceDestroyed', by, dueMs: 9_000, atMs: 1_800 },
    { type: 'InstanceErased', atMs: 1_900 },
  ],
} as const satisfies Readonly<Record<string, readonly InstanceEvent[]>>;

/** What each log folds to on its way, by the number of the fold. */
const PINS: Readonly<Record<number, Readonly<Record<keyof typeof LOGS, string>>>> = {
  1: {
    captures: '73f994814b06a100584d0d0ea018a6de',
    policy: '16658b2f5f23f76dfa2561e586506659',
    keys: '3114a4571916f14aaee8fe1e87a8a54b',
    leases: '3d6ee1d2ad3aa36b809d0751801b2b3f',
    retention: '1181e81e50d19c628950c0ae76335fbd',
    backups: '27229ef0ef42b2463bb41bf7939913bf',
    jobs: 'abd6fb8fc7d793f3dd441c4a51ac8505',
    recycle: '6803058afbeecea61add1ce65a8d9aee',
  },
};

/** A kind that no log above holds does not compile here. */
type Missing = Exclude<InstanceEventType, (typeof LOGS)[keyof typeof LOGS][number]['type']>;
const everyKind: [Missing] extends [never] ? true : Missing = true;

/** The headers of the checkpoints of every entry: what a checkpoint would hold, its number among it. */
function headersOf(log: readonly InstanceEvent[]): readonly string[] {
  let state = EMPTY_INSTANCE_STATE;
  return log.map((event) => {
    state = evolveInstance(state, event, state.seq + 1, '1'.repeat(64));
    const bytes = encodeInstanceCheckpoint('orders', state, LOG_KEY);
    return bytes.subarray(64, 64 + bytes.readUInt32BE(12)).toString();
  });
}

it.each(Object.entries(LOGS) as [keyof typeof LOGS, readonly InstanceEvent[]][])(
  'the fold of fixed entries (%s) is the one that checkpoints of its number hold',
  (name, log) => {
    const headers = headersOf(log);
    const { fold } = JSON.parse(headers[0] ?? '') as { readonly fold: number };
    const digest = createHash('sha256').update(headers.join('\n')).digest('hex').slice(0, 32);
    const what =
      'The same entries fold to something else, or the fold has other fields: raise FOLD in ' +
      'libs/catalog/src/log/instance-checkpoint.ts and pin what the new number holds here (all of them). ' +
      'With the old number, hosts of two releases would take the checkpoints of each other for their own.';
    expect({ fold, digest }, what).toEqual({ fold, digest: PINS[fold]?.[name] });
    expect(everyKind).toBe(true);
  },
);
