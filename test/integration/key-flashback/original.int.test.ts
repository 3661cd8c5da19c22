import type { NodeClient } from '@tidemark/client';
import type { RestoreEnvironment } from '@tidemark/restorer';
import { systemClock } from '@tidemark/system';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildAof } from '../../support/aof-run.ts';
import {
  connect,
  DATABASES,
  KeyHistory,
  scratchAt,
} from '../../support/key-flashback/key-history.ts';
import {
  readKeyStates,
  withoutGroupCounters,
  type KeyState,
  type KeyStates,
} from '../../support/key-flashback/key-oracle.ts';
import {
  diffAlive,
  expectedAfter,
  undoWriteBack,
  writeBackKeys,
  type Expected,
} from '../../support/key-flashback/original-keys.ts';
import {
  describeSpec,
  randomSelector,
  type RandomSelector,
} from '../../support/key-flashback/random-selector.ts';
import { chooseSeed, Dice } from '../../support/workload.ts';

const SECONDS = 10;
const SELECTORS = 3;
/** Short lives of the workload are over then. */
const SHORT_LIVES_MS = 1_300;

const seed = chooseSeed('keys of the original');
let history: KeyHistory;
let client: NodeClient;
const owned: AsyncDisposable[] = [];
let clients = 0;
beforeAll(async () => {
  buildAof();
  history = await KeyHistory.record({ server: null, seconds: SECONDS, workload: { seed } });
  owned.push(history);
  client = await connect(history.bench.server);
  owned.push(client);
  await systemClock.sleep(SHORT_LIVES_MS);
});
afterAll(async () => {
  for (const part of owned.reverse()) await part[Symbol.asyncDispose]();
});

describe('selected keys of the running original', () => {
  it.each(Array.from({ length: SECONDS }, (_, i) => i))(
    'are as in a full restore, every other key is as before, and undo takes all back: second %i',
    async (i) => {
      const second = history.seconds[i] ?? 0;
      const dice = new Dice(seed + i);
      await history.read(async (environment) => {
        await using whole = await scratchAt(second, environment);
        const reference = await readKeyStates(whole.client);
        const drawn = [...reference.values(), ...(await readKeyStates(client)).values()];
        for (let turn = 0; turn < SELECTORS; turn++) {
          const selector = randomSelector(dice, drawn, DATABASES);
          await thereAndBack({ selector, second, reference, dice }, environment);
        }
      });
    },
  );
});

interface Turn {
  readonly selector: RandomSelector;
  readonly second: number;
  readonly reference: KeyStates;
  readonly dice: Dice;
}

/** Writes back, looks, changes a key as a client would, undoes, and looks again. */
async function thereAndBack(turn: Turn, environment: RestoreEnvironment): Promise<void> {
  const { selector, second, reference, dice } = turn;
  const { server } = history.bench;
  const label = `second ${second.toString()} of ${describeSpec(selector.spec)}`;
  const before = await readKeyStates(client);
  const expected = expectedAfter(selector, second, { reference, before });
  const report = await writeBackKeys(server, second, selector, environment);
  const after = await readKeyStates(client);
  const selected = part(after, expected, true);
  expect(
    diffAlive(withoutGroupCounters(expected.selected), withoutGroupCounters(selected)),
    label,
  ).toEqual([]);
  expect(diffAlive(expected.others, part(after, expected, false)), `${label}, others`).toEqual([]);
  expect(report, label).toMatchObject({ conflicts: 0, refused: 0, uncertain: 0 });
  if (report.undo === null) {
    expect(report, label).toMatchObject({ state: 'nothing', restored: 0, deleted: 0 });
    return;
  }
  const changed = dice.once(2) ? await changeOne(before, after) : null;
  const { report: undone, failure } = await undoWriteBack(server, report.id, environment);
  expect(failure, label).toBeNull();
  const left = changed === null ? [] : [changed.name];
  expect(
    undone.left.map(({ db, key }) => `${db.toString()} ${key}`),
    label,
  ).toEqual(left);
  const back = await readKeyStates(client);
  const wanted = new Map(before);
  if (changed !== null) wanted.set(changed.name, changed.state);
  expect(diffAlive(wanted, back), `${label}, undone`).toEqual([]);
}

function part(states: KeyStates, { isSelected }: Expected, selected: boolean): KeyStates {
  return new Map([...states].filter(([name]) => isSelected(name) === selected));
}

/** A client overwrites one of the keys that the write-back has put. */
async function changeOne(
  before: KeyStates,
  after: KeyStates,
): Promise<{ readonly name: string; readonly state: KeyState } | null> {
  const written = [...after].find(([name, { digest }]) => before.get(name)?.digest !== digest);
  if (written === undefined) return null;
  const [name, { db, key }] = written;
  await client.pipeline([
    ['SELECT', db],
    ['SET', key, `written by client ${(clients += 1).toString()}`],
    ['SELECT', 0],
  ]);
  const state = (await readKeyStates(client)).get(name);
  if (state === undefined) throw new Error(`${name} is not there`);
  return { name, state };
}
