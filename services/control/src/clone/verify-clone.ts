import type { NodeAddress, NodeClient } from '@tidemark/client';
import { Info } from '@tidemark/client';
import { IntegrityError } from '@tidemark/core';
import {
  preview,
  type RestoreEnvironment,
  type TtlChoice,
  type WantedPoint,
} from '@tidemark/restorer';
import type { LookedAt, ReplayedFacts } from './checkpoint.ts';

const DATABASES_MAX = 256;
/** Random keys come more than once: so many are asked for to have one more. */
const ASKED_PER_KEY = 3;

/** What a promoted clone holds. */
export interface CloneCount {
  readonly keys: number;
  /** Keys that it had at the end of the replay, and that have expired since. */
  readonly expired: number;
}

/**
 * Counts a promoted clone: what it holds and what has expired since make up exactly what was replayed.
 * @param replayed - Null: an attempt that was killed knew the number; then only that it holds data is
 *   looked at.
 * @throws IntegrityError `TM_CLONE_VERIFY` with both numbers.
 */
export async function countClone(
  client: NodeClient,
  looked: LookedAt,
  replayed: Pick<ReplayedFacts, 'keys'> | null,
): Promise<CloneCount> {
  const replies = await client.pipeline([
    ...[['MULTI'], ['INFO', 'keyspace'], ['INFO', 'stats'], ['INFO', 'server'], ['EXEC']],
  ]);
  const answers = replies.at(-1);
  if (!Array.isArray(answers)) throw answers instanceof Error ? answers : unknown();
  const info = Info.parse(answers.map(String).join('\r\n'));
  if (info.get('run_id') !== looked.runId) {
    throw new IntegrityError('TM_CLONE_VERIFY', 'the server of the clone is another process now');
  }
  const counts = databases().map((db) => Number(info.fields(`db${db}`)['keys'] ?? 0));
  const keys = counts.reduce((sum, count) => sum + count, 0);
  const expired = info.number('expired_keys', 0) - looked.expired;
  const fields = info.number('expired_subkeys', 0) - looked.expiredFields;
  const missing = replayed === null ? 0 : replayed.keys - keys - expired;
  // A hash goes with its last field, and no counter tells how many did.
  const wrong = missing < 0 || missing > Math.max(0, fields);
  if (!wrong) return { keys, expired };
  throw new IntegrityError('TM_CLONE_VERIFY', 'the clone does not hold what was replayed', {
    context: { expected: replayed?.keys ?? 0, keys, expired },
    hint: 'did somebody else write to it before it was handed over',
  });
}

const databases = (): readonly number[] => Array.from({ length: DATABASES_MAX }, (_, db) => db);

function unknown(): IntegrityError {
  return new IntegrityError('TM_CLONE_VERIFY', 'the clone does not tell what it holds');
}

/** What is compared with what. */
export interface SampleRequest {
  readonly instance: string;
  readonly point: WantedPoint;
  readonly ttl: TtlChoice;
  readonly address: NodeAddress;
  /** Keys, at most. */
  readonly sample: number;
}

/**
 * Compares some keys of a clone with what the archive holds: they are restored a second time, into a
 * scratch server, and read from both.
 * @returns How many were compared.
 * @throws IntegrityError `TM_CLONE_VERIFY` when one differs.
 */
export async function compareSample(
  request: SampleRequest,
  client: NodeClient,
  environment: RestoreEnvironment,
): Promise<number> {
  const { instance, point, ttl, address, sample } = request;
  const names = await randomKeys(client, sample);
  if (names.length === 0) return 0;
  const report = await preview(
    {
      ...{ instance, point, ttl },
      selector: {
        include: names.map((key) => ({ kind: 'key', key })),
        ...{ exclude: [], dbs: null, excludeDbs: [], types: null, excludeTypes: [] },
      },
      live: { address, latencyMaxMs: 1_000, rate: null },
    },
    environment,
  );
  const { counts, expiryOnly } = report;
  const changed = counts.changed - expiryOnly;
  if (changed + counts.created === 0) return counts.same + expiryOnly;
  throw new IntegrityError('TM_CLONE_VERIFY', 'keys of the clone are not as the archive has them', {
    context: { compared: names.length, changed, created: counts.created },
  });
}

async function randomKeys(client: NodeClient, most: number): Promise<readonly Buffer[]> {
  const found = new Map<string, Buffer>();
  const info = await client.info('keyspace');
  const filled = databases().filter((db) => info.fields(`db${db}`)['keys'] !== undefined);
  for (const [index, db] of filled.entries()) {
    await client.call('SELECT', db);
    const share = Math.ceil((most - found.size) / (filled.length - index));
    const asked = Array.from({ length: share * ASKED_PER_KEY }, () => ['RANDOMKEY']);
    const end = found.size + share;
    for (const key of await client.pipelineBuffer(asked)) {
      if (Buffer.isBuffer(key) && found.size < end) found.set(key.toString('latin1'), key);
    }
  }
  await client.call('SELECT', 0);
  return [...found.values()];
}
