import { FormatError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { AofPartWalk } from '../../services/cli/src/files/check-aof-part.ts';
import { realLogs } from '../support/hostile/aof-corpus.ts';
import { damaged } from '../support/hostile/damage.ts';
import { askChecker } from '../support/hostile/peer-checker.ts';
import { realRdbs } from '../support/hostile/rdb-corpus.ts';
import { Seeded } from '../support/hostile/seeded.ts';
import { compareVerdicts, verdictOf } from '../support/hostile/verdicts.ts';
import { findServer, serverBinaries } from '../support/servers.ts';
import { TempDir } from '../support/temp-dir.ts';

function check(bytes: Buffer): void {
  const walk = new AofPartWalk();
  walk.push(bytes);
  const { fault, state } = walk.end();
  if (fault === null) return;
  throw new FormatError(fault.code, fault.message, { context: { state, offset: fault.offset } });
}

/** What a server's checker lets pass and we do not; a server itself writes none of it. */
const REFUSED_BY_US: readonly (readonly [string, RegExp, string])[] = [
  ['TM_AOF_PROTOCOL', /no digit/, 'a number with a sign, or with blanks before it'],
  ['TM_AOF_PROTOCOL', /without a name/, 'a command of no arguments, which no server loads'],
  ['TM_AOF_TRUNCATED', /within a.? annotation/, 'an annotation without its end'],
  ['TM_AOF_LIMIT', /annotation/, 'an annotation over 1,024 bytes that goes on with another'],
];

describe('aof check says what the checker of the server says', () => {
  it('of 200 good files and 2,000 damaged ones, with and without an RDB head', async () => {
    const onPath = serverBinaries().find(({ checkAof }) => checkAof === 'redis-check-aof');
    if (onPath === undefined) throw new Error('redis-check-aof is not on the PATH');
    const rdbs = await realRdbs(10, 3, { functions: true });
    const good = await realLogs(200, rdbs, findServer('redis', '6.0'));
    const random = new Seeded(12);
    const bad = Array.from({ length: 2000 }, () => damaged(random.pick(good), random));
    await using dir = await TempDir.create();
    const inputs = [...good, ...bad];
    const peer = await askChecker(onPath.checkAof, inputs, dir.path);
    const ours = inputs.map((bytes) =>
      verdictOf(() => {
        check(bytes);
      }),
    );
    const compared = (from: number, to: number): ReturnType<typeof compareVerdicts> =>
      compareVerdicts(inputs.slice(from, to), ours.slice(from, to), peer.slice(from, to), {
        refused: ({ code, message }) =>
          REFUSED_BY_US.find(([known, text]) => known === code && text.test(message))?.[2] ?? null,
        accepted: () => null,
      });
    expect(compared(0, 200)).toMatchObject({ bothAccept: 200, unexplained: [] });
    const found = compared(200, inputs.length);
    expect(found.unexplained).toEqual([]);
    expect(found.bothRefuse).toBeGreaterThan(1000);
    expect(found.bothAccept).toBeGreaterThan(100);
    for (const [code, least] of [
      ['TM_AOF_PROTOCOL', 500],
      ['TM_AOF_TRUNCATED', 50],
      ['TM_RDB_CHECKSUM', 50],
      ['TM_RDB_VALUE', 20],
    ] as const) {
      expect(found.codes[code], code).toBeGreaterThanOrEqual(least);
    }
  });
});
