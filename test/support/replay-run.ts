import { readFile } from 'node:fs/promises';
import type { TidemarkError } from '@tidemark/core';
import {
  restore,
  type RestoreEnvironment,
  type RestoreReport,
  type RestoreRequest,
} from '@tidemark/restorer';
import { systemClock, systemRandom } from '@tidemark/system';
import type { Redis } from 'ioredis';
import { readAofSource, rewriteAof } from './aof-source.ts';
import { command } from './command-log.ts';
import { comparableOf } from './matrix/comparable.ts';
import { capabilitiesOf } from './matrix/matrix-server.ts';
import { diffOracle, readOracle } from './oracle.ts';
import { startRedis, type RedisServer } from './redis-server.ts';
import type { ServerBinary } from './servers.ts';
import { ARCHIVED, TestArchive } from './test-archive.ts';
import { restoreRequest } from './restore-request.ts';

/** Writes on a source. */
export type Act = (client: Redis) => Promise<unknown>;

/** How a log is recorded. */
export interface RecordOptions {
  /** Program of the source; default `redis-server` on the PATH. */
  readonly binary?: string;
  readonly config?: Readonly<Record<string, string>>;
  /** What the snapshot holds. */
  readonly before?: Act;
  /** What the log holds: the archive has a segment for each. */
  readonly during: readonly Act[];
  /** The second that the snapshot is taken for, by which TTL rules go. Default: the archive's first. */
  readonly second?: number;
  /** Commands after those, as they would stand in the log. */
  readonly forged?: readonly (readonly (string | number | Buffer)[])[];
}

/** A source and an archive that holds what was written on it. */
export interface Recorded extends AsyncDisposable {
  readonly source: RedisServer;
  readonly client: Redis;
  readonly archive: TestArchive;
  /** Offset after each part of `during`. */
  readonly ends: readonly bigint[];
}

/** Has a real server write, and archives its own snapshot and log. */
export async function record(options: RecordOptions): Promise<Recorded> {
  const { binary, config, before, during, second, forged = [] } = options;
  const source = await startRedis({
    ...(binary === undefined ? {} : { binary }),
    config: {
      'aof-timestamp-enabled': 'no',
      'auto-aof-rewrite-percentage': '0',
      appendfsync: 'always',
      ...config,
    },
  });
  const client = await source.connect();
  await before?.(client);
  await client.select(0);
  await rewriteAof(client);
  const lengths: number[] = [];
  for (const act of during) {
    await act(client);
    lengths.push((await readAofSource(source, client)).logBytes);
  }
  const aof = await readAofSource(source, client);
  const log = await readFile(aof.logPath);
  const archive = await TestArchive.open();
  const info = await client.info('server');
  const valkey = /^valkey_version:(\S+)/m.exec(info)?.[1];
  const version = valkey ?? /^redis_version:(\S+)/m.exec(info)?.[1] ?? '';
  await archive.begin('t1', 'attach', {
    version,
    product: valkey === undefined ? 'redis' : 'valkey',
  });
  await archive.snapshot('bk-0', await readFile(aof.basePath), second);
  const ends: bigint[] = [];
  let from = 0;
  for (const to of lengths) {
    ends.push(archive.writeLog(log.subarray(from, to)));
    await archive.roll();
    from = to;
  }
  if (forged.length > 0) {
    archive.writeLog(Buffer.concat(forged.map((args) => command(...args))));
    await archive.roll();
  }
  return {
    ...{ source, client, archive, ends },
    async [Symbol.asyncDispose](): Promise<void> {
      await archive[Symbol.asyncDispose]();
      await source[Symbol.asyncDispose]();
    },
  };
}

/** A restore of an archive into a running server, by default to its end. */
export async function restoreInto(
  archive: TestArchive,
  target: RedisServer,
  changes: Partial<RestoreRequest> = {},
  watch: Pick<RestoreEnvironment, 'onVanishing'> = {},
): Promise<RestoreReport> {
  const environment = await archive.environment();
  return restore(requestFor(archive, target, changes), {
    ...environment,
    ...watch,
    clock: systemClock,
    random: systemRandom,
  });
}

/** What `restoreInto` asks for. */
export function requestFor(
  archive: TestArchive,
  target: RedisServer,
  changes: Partial<RestoreRequest> = {},
): RestoreRequest {
  return restoreRequest(target.port, {
    instance: ARCHIVED,
    point: { kind: 'offset', offset: archive.end, timeline: null },
    promote: true,
    allowFlush: false,
    ...changes,
  });
}

/** The error of a restore that must fail. */
export async function restoreError(
  archive: TestArchive,
  target: RedisServer,
  changes: Partial<RestoreRequest> = {},
): Promise<TidemarkError> {
  try {
    await restoreInto(archive, target, changes);
  } catch (error) {
    return error as TidemarkError;
  }
  throw new Error('the restore did not fail');
}

/** In what a target differs from its source, both being looked at as far as they tell the same. */
export async function differences(
  source: { readonly server: ServerBinary; readonly client: Redis },
  target: { readonly server: ServerBinary; readonly client: Redis },
  withFieldExpiry = false,
): Promise<string[]> {
  const from = capabilitiesOf(source.server);
  const comparable = comparableOf(from, capabilitiesOf(target.server), withFieldExpiry);
  const wanted = await readOracle(source.client, { hashes: true });
  const found = await readOracle(target.client, { hashes: true });
  if (wanted.databases.size === 0) return ['the source holds nothing'];
  const lines = diffOracle(comparable(wanted), comparable(found));
  return lines.filter((line) => !withinTick(line, target.server));
}

/** Before 7.0 a server tells the rest of a key's life only, by a clock of its own. */
const TICK_MS = 5;

function withinTick(line: string, server: ServerBinary): boolean {
  if (!capabilitiesOf(server).old) return false;
  const [, wanted, found] = /: expiryMs (\d+) != (\d+)$/.exec(line) ?? [];
  return wanted !== undefined && Math.abs(Number(wanted) - Number(found)) <= TICK_MS;
}
