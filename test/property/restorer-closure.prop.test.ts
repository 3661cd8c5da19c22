import type { SelectorSpec } from '@tidemark/selector';
import { compileSelector } from '@tidemark/selector';
import { describe, expect, it } from 'vitest';
import { needsEntry } from '../../services/restorer/src/closure/closure.ts';
import { commandSource } from '../../services/restorer/src/feed/command-source.ts';
import { makeLog, ModelServer, type GlobalOdds, type Words } from '../support/closure-model.ts';
import { command, decodeChunks } from '../support/command-log.ts';
import { openPlanned } from '../support/opened-plan.ts';
import { RdbBuilder } from '../support/rdb-builder.ts';
import { collect } from '../support/segments.ts';
import { ARCHIVED, TestArchive } from '../support/test-archive.ts';
import { chooseSeed, Dice } from '../support/workload.ts';

const DATABASES = 3;
const ROUNDS = 12;
const COMMANDS = 60;
const SELECTORS = 4;
const FORM = {
  target: { product: 'redis', versionNumber: 8_06_03, databases: 16, commands: null },
  guardFieldPersist: false,
} as const;

type Entries = ReturnType<ModelServer['entries']>;

/** Some keys in the snapshot, so that the log finds something. */
const BEFORE: Entries = [
  [0, 'a', 'A0'],
  [0, 'long:1', 'L0'],
  [1, 'b', 'B1'],
  [1, 'c', 'C1'],
  [2, 'd', 'D2'],
];

function randomSelector(dice: Dice): SelectorSpec {
  const kinds: readonly SelectorSpec['include'][] = [
    [{ kind: 'key', key: Buffer.from('abcde'.charAt(dice.between(0, 5 - 1))) }],
    [
      { kind: 'key', key: Buffer.from('a') },
      { kind: 'key', key: Buffer.from('long:2') },
    ],
    [{ kind: 'regex', pattern: '[ab]' }],
    [{ kind: 'glob', pattern: 'long:*' }],
    [],
  ];
  const include = kinds[dice.between(0, kinds.length - 1)] ?? [];
  const dbs =
    include.length === 0 || dice.between(0, 3 - 1) === 0 ? [dice.between(0, DATABASES - 1)] : null;
  return { include, exclude: [], dbs, excludeDbs: [], types: null, excludeTypes: [] };
}

const rawOf = (log: readonly Words[]): Buffer =>
  Buffer.concat(log.map((words) => command(...words)));

function rdbOf(entries: Entries): Buffer {
  const rdb = new RdbBuilder({ version: 10 });
  let at = -1;
  for (const [db, key, value] of entries) {
    if (db !== at) rdb.selectDb(db);
    at = db;
    rdb.string(key, value);
  }
  return rdb.build();
}

/** A log and what was there before it: a part of a history. */
interface Part {
  readonly before: Entries;
  readonly log: readonly Words[];
}

/**
 * An archive of a history: small frames, segments that begin and end anywhere. A later part has a
 * snapshot before it, which may lie within a segment.
 */
async function archiveOf([first, ...later]: readonly Part[], dice: Dice): Promise<TestArchive> {
  const archive = await TestArchive.begun(
    rdbOf(first?.before ?? []),
    60 + dice.between(0, 200 - 1),
  );
  await writeParts(archive, first?.log ?? [], dice);
  for (const [at, { before, log }] of later.entries()) {
    await archive.snapshot(`bk-${(at + 1).toString()}`, rdbOf(before));
    await writeParts(archive, log, dice);
  }
  await archive.roll();
  return archive;
}

async function writeParts(archive: TestArchive, log: readonly Words[], dice: Dice): Promise<void> {
  const raw = rawOf(log);
  for (let from = 0; from < raw.length;) {
    const to = Math.min(raw.length, from + 20 + dice.between(0, 900 - 1));
    const before = archive.end;
    if (archive.writeLog(raw.subarray(from, to)) > before && to < raw.length) await archive.roll();
    from = to;
  }
}

function serverWith(entries: Entries): ModelServer {
  const server = new ModelServer(DATABASES);
  for (const [db, key, value] of entries) server.put(db, key, value);
  return server;
}

/** A history of one part, or of two. */
function makeHistory(dice: Dice, odds: GlobalOdds): readonly Part[] {
  const whole = serverWith(BEFORE);
  const options = { commands: COMMANDS, databases: DATABASES, ...odds };
  const first = { before: BEFORE, log: makeLog(dice, whole, options) };
  if (dice.between(0, 1) === 0) return [first];
  // As a server does after a fork: the database is selected anew.
  const before = whole.entries();
  return [first, { before, log: [['SELECT', '0'], ...makeLog(dice, whole, options)] }];
}

/** A point within the last part of a history. */
interface Cut {
  readonly before: Entries;
  readonly offset: bigint;
  /** The server as it was there. */
  readonly whole: ModelServer;
}

/** The end of a history, or somewhere between two commands outside transactions. */
function chooseCut(parts: readonly Part[], end: bigint, dice: Dice): Cut {
  const { before, log } = parts.at(-1) ?? { before: [], log: [] };
  const most = dice.between(0, 1) === 0 ? log.length : dice.between(0, log.length);
  const begun = log.slice(0, most).findLastIndex(([name]) => name === 'MULTI');
  const open = begun >= 0 && !log.slice(begun, most).some(([name]) => name === 'EXEC');
  const ran = log.slice(0, open ? begun : most);
  const whole = serverWith(before);
  let db = 0;
  for (const words of ran) {
    if (words[0] === 'SELECT') db = Number(words[1]);
    whole.run(db, words);
  }
  return { before, offset: end - BigInt(rawOf(log.slice(ran.length)).length), whole };
}

/** Restores a selection from an archive into a model, which must not refuse anything. */
async function restored(
  archive: TestArchive,
  spec: SelectorSpec,
  { before, offset }: Cut,
): Promise<ModelServer> {
  const request = {
    instance: ARCHIVED,
    point: { kind: 'offset', offset, timeline: null },
    ttl: { mode: 'absolute' },
    selector: spec,
  } as const;
  using prepared = await openPlanned(request, await archive.environment());
  const { plan, reader } = prepared;
  const { closure } = plan;
  if (closure === null) throw new Error('no closure');
  const server = new ModelServer(DATABASES);
  for (const [db, key, value] of before) {
    if (!closure.startsEmpty && needsEntry(closure, db, Buffer.from(key)))
      server.put(db, key, value);
  }
  const fed = await collect(commandSource(plan, reader, FORM));
  for (const { name, args, db } of decodeChunks([fed]).commands) {
    const words = [name.toUpperCase(), ...args.slice(1).map((word) => word ?? '')];
    expect(server.run(db, words), `refused: ${words.join(' ')}`).toBe(true);
  }
  return server;
}

describe('a selection', () => {
  it.each<[string, GlobalOdds]>([
    ['without commands that reach everything', { flushOnceIn: 0, sortOnceIn: 0 }],
    ['with FLUSHDB and FLUSHALL', { flushOnceIn: 40, sortOnceIn: 0 }],
    ['with SORT by patterns', { flushOnceIn: 60, sortOnceIn: 50 }],
  ])('gives the selected keys of the whole log, %s', async (_, odds) => {
    const seed = chooseSeed('closure');
    for (let round = 0; round < ROUNDS; round += 1) {
      const dice = new Dice(seed + round);
      const parts = makeHistory(dice, odds);
      await using archive = await archiveOf(parts, dice);
      for (let turn = 0; turn < SELECTORS; turn += 1) {
        const spec = randomSelector(dice);
        const selector = compileSelector(spec);
        const selected = (server: ModelServer): readonly string[] =>
          server
            .entries()
            .filter(([db, key]) => selector.matches(db, Buffer.from(key)))
            .map((entry) => JSON.stringify(entry))
            .sort();
        const cut = chooseCut(parts, archive.end, dice);
        const label = `seed ${(seed + round).toString()} at ${cut.offset.toString()}: ${selector.describe()}`;
        expect(selected(await restored(archive, spec, cut)), label).toEqual(selected(cut.whole));
      }
    }
  });
});
