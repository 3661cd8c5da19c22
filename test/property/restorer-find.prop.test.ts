import { CommandDecoder, KEY_EFFECT, visitKeys } from '@tidemark/aof';
import { commandName } from '@tidemark/archive';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { findCommands } from '../../services/restorer/src/find/find-commands.ts';
import type { KeyMatcher } from '../../services/restorer/src/find/found-command.ts';
import { keyHistory } from '../../services/restorer/src/find/key-history.ts';
import { layOut, type AofLayout } from '../support/aof-layout.ts';
import { patternBytes } from '../support/pattern.ts';
import { ARCHIVED, TestArchive } from '../support/test-archive.ts';

const KEYS = ['a', 'b', 'c', 'd'];
const key = fc.constantFrom(...KEYS);
const db = fc.constantFrom('0', '1', '2');

/** Commands of every reach, some of them as large as a frame. */
const oneCommand = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constantFrom('SET', 'append'), key, fc.constant('v')) },
  { weight: 3, arbitrary: key.map((name) => ['DEL', name]) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom('RENAME', 'LMOVE', 'sunionstore'), key, key) },
  { weight: 2, arbitrary: db.map((one) => ['SELECT', one]) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('SWAPDB'), db, db) },
  { weight: 1, arbitrary: fc.constantFrom(['FLUSHDB'], ['FLUSHALL'], ['ts.add', 'x', '1']) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('MOVE'), key, db) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(key, fc.integer({ min: 200_000, max: 1_500_000 }))
      .map(([name, bytes]) => ['SET', name, patternBytes(bytes, bytes)]),
  },
);

const unit = fc.oneof(
  { weight: 4, arbitrary: oneCommand.map((command) => [command]) },
  {
    weight: 1,
    arbitrary: fc
      .array(oneCommand, { minLength: 1, maxLength: 4 })
      .map((inside) => [['MULTI'], ...inside, ['EXEC']]),
  },
);

const log = fc
  .array(unit, { minLength: 1, maxLength: 40 })
  .map((units) => layOut(units.flat() as (string | Buffer)[][]));

/** Where pieces end, by bytes or by commands: within commands and transactions; some roll a segment. */
const cuts = fc.array(
  fc.record({
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    byCommand: fc.boolean(),
    roll: fc.boolean(),
  }),
  { maxLength: 12 },
);

interface Told {
  readonly offset: bigint;
  readonly before: bigint;
  readonly command: string;
}

/** Every command of a log, decoded in one go. */
function* everyCommand(bytes: Buffer): Generator<Told & { row: number; batch: Batch }> {
  const decoder = new CommandDecoder({ annotations: false });
  let multi = 0n;
  for (const batch of decoder.push(bytes)) {
    for (let row = 0; row < batch.count; row++) {
      const offset = batch.base + BigInt(batch.start[row]!);
      const command = commandName(batch, row);
      if (batch.inMulti[row] === 0 || command === 'multi') multi = offset;
      yield { offset, before: multi, command, row, batch };
    }
  }
}
type Batch = ReturnType<CommandDecoder['push']>[number];

function expected(
  bytes: Buffer,
  wanted: (command: Told & { row: number; batch: Batch }) => boolean,
): Told[] {
  return [...everyCommand(bytes)]
    .filter(wanted)
    .map(({ offset, before, command }) => ({ offset, before, command }));
}

/** Whether a command names a key, or reaches keys that it does not name. */
function reaches(batch: Batch, row: number, name: string, writes: boolean): boolean {
  const hits: boolean[] = [];
  const effect = visitKeys(batch, row, (_, start, end, write) => {
    hits.push(batch.data.toString('latin1', start, end) === name && (write || !writes));
  });
  if (hits.includes(true) || effect < KEY_EFFECT.flushDb) return hits.includes(true);
  if (effect !== KEY_EFFECT.swapDb || !writes) return true;
  // A swap of a database with itself does nothing.
  const [one, other] = [1, 2].map((at) => argument(batch, row, at));
  return one !== other;
}

function argument(batch: Batch, row: number, index: number): string {
  const at = batch.argAt[row]! + index;
  return batch.data.toString('latin1', batch.argStart[at], batch.argEnd[at]);
}

async function archived(
  { stream: bytes, boundaries }: AofLayout,
  places: typeof cuts extends fc.Arbitrary<infer T> ? T : never,
): Promise<TestArchive> {
  const archive = await TestArchive.begun();
  const ends = places
    .map(({ share, byCommand, roll }) => {
      const boundary = boundaries[Math.floor(share * boundaries.length)]?.offset ?? 0n;
      return { at: byCommand ? Number(boundary) : Math.floor(share * bytes.length), roll };
    })
    .filter((one) => one.at < bytes.length)
    .sort((a, b) => a.at - b.at);
  let at = 0;
  for (const end of ends) {
    if (end.at <= at) continue;
    archive.writeLog(bytes.subarray(at, end.at));
    if (end.roll) await archive.rollIfAny();
    at = end.at;
  }
  archive.writeLog(bytes.subarray(at));
  await archive.rollIfAny();
  return archive;
}

const literal = (name: string): KeyMatcher => ({
  literals: [Buffer.from(name)],
  matchesDb: () => true,
  matches: (_, data, start = 0, end = data.length) => data.toString('latin1', start, end) === name,
});
const window = { since: null, until: null };
const runs = { numRuns: 40 };

it('what is found is what a whole read of the log finds, however it is cut', async () => {
  await fc.assert(
    fc.asyncProperty(log, cuts, key, async (layout, places, name) => {
      const bytes = layout.stream;
      await using archive = await archived(layout, places);
      const environment = await archive.environment();
      const find = async (names: string[], keys: KeyMatcher | null): Promise<Told[]> => {
        const search = { instance: ARCHIVED, names: new Set(names), keys, window };
        const told: Told[] = [];
        for await (const batch of findCommands(search, environment)) {
          for (const { offset, before, command } of batch) told.push({ offset, before, command });
        }
        return told;
      };
      const names = ['del', 'set', 'flushall', 'rename', 'ts.add'];
      expect(await find(names, null)).toEqual(
        expected(bytes, ({ command }) => names.includes(command)),
      );
      expect(await find(names, literal(name))).toEqual(
        expected(
          bytes,
          ({ command, batch, row }) => names.includes(command) && reaches(batch, row, name, false),
        ),
      );
    }),
    runs,
  );
});

it('the history of a key is every write that reaches it, however the log is cut', async () => {
  await fc.assert(
    fc.asyncProperty(log, cuts, key, async (layout, places, name) => {
      const bytes = layout.stream;
      await using archive = await archived(layout, places);
      const search = {
        instance: ARCHIVED,
        key: Buffer.from(name),
        db: null,
        window,
        snapshots: false,
      };
      const told = new Map<bigint, Told>();
      let last = -1n;
      for await (const batch of keyHistory(search, await archive.environment())) {
        for (const { offset, before, command } of batch) {
          expect(offset).toBeGreaterThanOrEqual(last);
          last = offset;
          if (command !== 'ts.add') told.set(offset, { offset, before, command });
        }
      }
      expect([...told.values()]).toEqual(
        expected(
          bytes,
          ({ command, batch, row }) => command !== 'ts.add' && reaches(batch, row, name, true),
        ),
      );
    }),
    runs,
  );
});
