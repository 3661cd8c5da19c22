import type { SourceLoad } from './source-load.ts';

/** How long an archiver may be away (a restart, a failover) without a full resync. */
const AWAY_SECONDS = 60;
/** A full resync is reckoned at this rate: fork, packing and a network of 1 Gbit/s shared with others. */
const SYNC_BYTES_PER_SECOND = 30 * 1024 * 1024;
/** `repl-diskless-sync-delay` before it begins (default of Redis and Valkey: 5 s). */
const SYNC_DELAY_SECONDS = 5;
/** A fork may need as much memory again as is written meanwhile: over this share of the machine it is said. */
const MEMORY_SHARE_MAX = 0.6;
const MIB = 1024 * 1024;

/** A setting of the source that does not fit what was measured. */
export interface SourceAdvice {
  /** Name of the setting; `memory` for one that no setting mends. */
  readonly setting: string;
  /** What it is, as the server says it; null when that is not known. */
  readonly value: string | null;
  /** What it should be at least; null when no setting helps. */
  readonly wanted: string | null;
  /** Why, with the numbers. */
  readonly why: string;
}

/**
 * Holds what a node grants its replicas against what it writes (design.md section 4, preflight).
 *
 * Nothing is changed: each answer names the setting and the least value that fits.
 * @see redis src/networking.c, `checkClientOutputBufferLimits`: a limit below the backlog counts as
 *   the backlog; src/replication.c, `refreshGoodSlavesCount`: whoever acknowledges counts.
 */
export function adviseSource(load: SourceLoad): readonly SourceAdvice[] {
  return [
    ...backlogAdvice(load),
    ...outputAdvice(load),
    ...replicaAdvice(load),
    ...forkAdvice(load),
  ];
}

function backlogAdvice({ backlogBytes, writeRate }: SourceLoad): SourceAdvice[] {
  const wanted = writeRate * AWAY_SECONDS;
  if (backlogBytes >= wanted) return [];
  const covers = Math.floor(backlogBytes / writeRate);
  return [
    {
      setting: 'repl-backlog-size',
      value: backlogBytes.toString(),
      wanted: roundedUp(wanted).toString(),
      why: `at ${rateText(writeRate)} it covers ${covers} s; an archiver that is away for longer needs a full resync, which leaves a hole`,
    },
  ];
}

function outputAdvice(load: SourceLoad): SourceAdvice[] {
  const { outputLimit, writeRate, backlogBytes, datasetBytes } = load;
  if (outputLimit === null) return [];
  const { hardBytes, softBytes, softSeconds } = outputLimit;
  const seconds = SYNC_DELAY_SECONDS + datasetBytes / SYNC_BYTES_PER_SECOND;
  const waiting = writeRate * seconds;
  const hardFits = hardBytes === 0 || Math.max(hardBytes, backlogBytes) >= 2 * waiting;
  const softFits =
    softBytes === 0 || softSeconds >= seconds || Math.max(softBytes, backlogBytes) >= waiting;
  if (hardFits && softFits) return [];
  const hard = hardFits ? hardBytes : roundedUp(2 * waiting);
  const soft = softFits ? softBytes : roundedUp(waiting);
  return [
    {
      setting: 'client-output-buffer-limit',
      value: `replica ${hardBytes} ${softBytes} ${softSeconds}`,
      wanted: `replica ${hard} ${soft} ${softSeconds}`,
      why: `a full resync of about ${sizeText(datasetBytes)} takes about ${Math.ceil(seconds)} s, in which ${sizeText(waiting)} of writes wait for it; over the limit the node ends it`,
    },
  ];
}

function replicaAdvice({ minReplicas }: SourceLoad): SourceAdvice[] {
  if (minReplicas === null || minReplicas === 0) return [];
  return [
    {
      setting: 'min-replicas-to-write',
      value: minReplicas.toString(),
      wanted: (minReplicas + 1).toString(),
      why: 'a capture counts as one of these replicas and holds no data that could be promoted',
    },
  ];
}

function forkAdvice({ diskless, usedMemory, systemMemory }: SourceLoad): SourceAdvice[] {
  const advice: SourceAdvice[] = [];
  if (diskless === false) {
    advice.push({
      setting: 'repl-diskless-sync',
      value: 'no',
      wanted: 'yes',
      why: 'each full resync, and each backup, is first written to the disk of the node',
    });
  }
  if (systemMemory > 0 && usedMemory > systemMemory * MEMORY_SHARE_MAX) {
    advice.push({
      setting: 'memory',
      value: usedMemory.toString(),
      wanted: null,
      why: `the node uses ${sizeText(usedMemory)} of ${sizeText(systemMemory)}: a full resync forks it, and what is written meanwhile takes memory again; a replica can be captured instead`,
    });
  }
  return advice;
}

/** The next power of two, from 1 MiB on. */
function roundedUp(bytes: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(MIB, bytes)));
}

function rateText(bytesPerSecond: number): string {
  return `${sizeText(bytesPerSecond)} a second`;
}

function sizeText(bytes: number): string {
  if (bytes >= 1024 * MIB) return `${(bytes / 1024 / MIB).toFixed(1)} GiB`;
  if (bytes >= MIB) return `${(bytes / MIB).toFixed(1)} MiB`;
  return `${Math.ceil(bytes / 1024).toString()} KiB`;
}
