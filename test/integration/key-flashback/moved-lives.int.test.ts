import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { record, type Recorded } from '../../support/replay-run.ts';
import { EVERY_KEY, undo, writeBack } from '../../support/write-back/write-run.ts';

type Words = readonly [string, ...(string | number)[]];

/** How the value of one key gets to another place, with its expiry. */
interface Way {
  readonly name: string;
  /** Databases of the two places. */
  readonly from: number;
  readonly to: number;
  /** Run in the first database. What had the second place is gone but for its note in the log. */
  readonly go: (from: string, to: string) => readonly Words[];
  /** Whether the key keeps its name. */
  readonly sameName?: boolean;
}

const WAYS: readonly Way[] = [
  { name: 'rename', from: 0, to: 0, go: (a, b) => [['RENAME', a, b]] },
  {
    name: 'renamenx',
    from: 0,
    to: 0,
    go: (a, b) => [
      ['DEL', b],
      ['RENAMENX', a, b],
    ],
  },
  { name: 'copy', from: 0, to: 0, go: (a, b) => [['COPY', a, b, 'REPLACE']] },
  { name: 'copy elsewhere', from: 0, to: 1, go: (a, b) => [['COPY', a, b, 'DB', 1, 'REPLACE']] },
  {
    ...{ name: 'move', from: 0, to: 1, sameName: true },
    go: (a, b) => [
      ['SELECT', 1],
      ['DEL', b],
      ['SELECT', 0],
      ['MOVE', a, 1],
    ],
  },
  {
    ...{ name: 'script', from: 0, to: 0 },
    go: (a, b) => [['EVAL', "return redis.call('RENAME', KEYS[1], KEYS[2])", 2, a, b]],
  },
  // All of these go together, in the end.
  { name: 'swapped databases', from: 2, to: 3, sameName: true, go: () => [] },
];

const LIFE_MS = 2_000;
const LONGER_MS = 400;

interface Lives {
  /** In the wanted second: what expired then was no key any more. */
  readonly endedMs: number;
  /** After it. */
  readonly ongoingMs: number;
}

/** `dead …` has a life that has ended at the point, and `since …` one that has not. */
function livesOf({ endedMs, ongoingMs }: Lives): Words[] {
  const commands: Words[] = [];
  for (const { name, from, to, go, sameName = false } of WAYS) {
    for (const what of ['dead', 'since']) {
      const target = `${what} ${name}`;
      const source = sameName ? target : `source of ${target}`;
      const [own, other] = what === 'dead' ? [endedMs, ongoingMs] : [ongoingMs, endedMs];
      // What stood at the second place had the other life.
      commands.push(['SELECT', to], ['SET', target, 'before', 'PXAT', other]);
      commands.push(['SELECT', from], ['RPUSH', source, 'then'], ['PEXPIREAT', source, own]);
      commands.push(...go(source, target));
    }
  }
  return [...commands, ['SWAPDB', 2, 3]];
}

/** In order, over one connection. */
function send(client: Redis, commands: readonly Words[]): Promise<readonly unknown[]> {
  return Promise.all(commands.map(([name, ...words]) => client.call(name, ...words)));
}

/** The second place of every way. */
const PLACES = WAYS.flatMap(({ name, to }) =>
  ['dead', 'since'].map((what) => ({ db: to, key: `${what} ${name}` })),
);

/** What stands at every second place. */
async function present(client: Redis): Promise<Record<string, unknown>> {
  const commands = PLACES.flatMap(({ db, key }): Words[] => [
    ['SELECT', db],
    ['GET', key],
  ]);
  const replies = await send(client, commands);
  return Object.fromEntries(PLACES.map(({ key }, i) => [key, replies[2 * i + 1]]));
}

/** As `present` has it, by whether the key was dead at the point. */
function wanted(dead: string | null, since: string): Record<string, unknown> {
  return Object.fromEntries(PLACES.map(({ key }) => [key, key.startsWith('dead') ? dead : since]));
}

/** Keys whose lives were moved, a second that ends between their ends, and strings in their places now. */
async function moved(): Promise<{ readonly recorded: Recorded; readonly second: number }> {
  let second = 0;
  const ongoingMs = (): number => (second + 1) * 1_000 + LONGER_MS;
  const recorded = await record({
    during: [
      async (client) => {
        // What has expired stays until somebody touches it, as for a moment on any server.
        await client.call('DEBUG', 'SET-ACTIVE-EXPIRE', '0');
        const endedMs = Date.now() + LIFE_MS;
        second = Math.floor(endedMs / 1_000);
        await send(client, livesOf({ endedMs, ongoingMs: ongoingMs() }));
        expect(Date.now(), 'this took too long to say anything').toBeLessThan(endedMs);
      },
      async (client) => {
        while (Date.now() <= ongoingMs()) await sleep(ongoingMs() - Date.now() + 1);
        await send(
          client,
          PLACES.flatMap(({ db, key }): Words[] => [
            ['SELECT', db],
            ['SET', key, 'now'],
          ]),
        );
      },
    ],
  });
  return { recorded, second };
}

describe('a selection by type, where lives were moved to other keys', () => {
  it('takes away what stands where a key had expired at the point, and leaves what stands where one has since', async () => {
    const { recorded, second } = await moved();
    await using _ = recorded;
    const { client } = recorded;
    const cutOf = { at: second, notBeforeMs: null, notAfterMs: null };
    const offset = recorded.ends[0] ?? 0n;
    const { report } = await writeBack(recorded, {
      point: { kind: 'offset', offset, timeline: 't1', cutOf },
      selector: { ...EVERY_KEY, types: ['string'] },
    });
    expect(await present(client)).toEqual(wanted(null, 'now'));
    expect(report).toMatchObject({ restored: 0, deleted: WAYS.length, conflicts: 0, refused: 0 });
    await undo(recorded, report.id);
    expect(await present(client)).toEqual(wanted('now', 'now'));
  });
});
