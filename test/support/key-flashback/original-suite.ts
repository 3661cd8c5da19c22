import type { NodeClient } from '@tidemark/client';
import type { RestoreEnvironment } from '@tidemark/restorer';
import { systemClock } from '@tidemark/system';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildAof } from '../aof-run.ts';
import type { RedisServer } from '../redis-server.ts';
import type { ServerBinary } from '../servers.ts';
import { Dice } from '../workload.ts';
import type { DependencyOptions } from '../workload/dependency-workload.ts';
import { connect, DATABASES, KeyHistory, scratchAt } from './key-history.ts';
import {
  readKeyStates,
  withoutGroupCounters,
  type KeyState,
  type KeyStates,
} from './key-oracle.ts';
import {
  diffAlive,
  expectedAfter,
  tellKeys,
  undoWriteBack,
  writeBackKeys,
  type Expected,
} from './original-keys.ts';
import { describeSpec, randomSelector, type RandomSelector } from './random-selector.ts';

/** Short lives of the workload are over then. */
const SHORT_LIVES_MS = 1_300;
/** A key that a client changes must not die before the undo. */
const LIFE_LEFT_MS = 60_000;

/** A history of a server, and how often parts of it are written back into it. */
export interface OriginalSuite {
  readonly name: string;
  /** Null = the server on the PATH. */
  readonly server: ServerBinary | null;
  readonly seed: number;
  readonly seconds: number;
  /** Random selectors of each second. */
  readonly selectors: number;
  readonly workload: Partial<DependencyOptions>;
}

/** Writes selected keys of every second of a history back into the server, and undoes each time. */
export function describeOriginal(suite: OriginalSuite): void {
  const { name, server, seed, seconds, selectors, workload } = suite;
  describe(name, () => {
    let history: KeyHistory;
    let client: NodeClient;
    const owned: AsyncDisposable[] = [];
    beforeAll(async () => {
      buildAof();
      history = await KeyHistory.record({ server, seconds, workload: { seed, ...workload } });
      owned.push(history);
      client = await connect(history.bench.server);
      owned.push(client);
      await systemClock.sleep(SHORT_LIVES_MS);
    });
    afterAll(async () => {
      for (const part of owned.reverse()) await part[Symbol.asyncDispose]();
    });

    it.each(Array.from({ length: seconds }, (_, i) => i))(
      'are as in a full restore, every other key is as before, and undo takes all back: second %i',
      async (i) => {
        const second = history.seconds[i] ?? 0;
        const dice = new Dice(seed + i);
        const original = { server: history.bench.server, client };
        await history.read(async (environment) => {
          await using whole = await scratchAt(second, environment);
          const reference = await readKeyStates(whole.client);
          const drawn = [...reference.values(), ...(await readKeyStates(client)).values()];
          for (let turn = 0; turn < selectors; turn++) {
            const selector = randomSelector(dice, drawn, DATABASES);
            const place = `second ${i.toString()}, selector ${turn.toString()} of ${name}`;
            const label = `seed ${seed.toString()}, ${place}: ${second.toString()}, ${describeSpec(selector.spec)}`;
            await thereAndBack({ original, selector, second, reference, dice, label }, environment);
          }
        });
      },
    );
  });
}

interface Turn {
  readonly original: { readonly server: RedisServer; readonly client: NodeClient };
  readonly selector: RandomSelector;
  readonly second: number;
  readonly reference: KeyStates;
  readonly dice: Dice;
  /** All that it takes to run this turn again; when things expire is up to the clock. */
  readonly label: string;
}

/** Writes back, looks, changes a key as a client would, undoes, and looks again. */
async function thereAndBack(turn: Turn, environment: RestoreEnvironment): Promise<void> {
  const { selector, second, reference, dice, label } = turn;
  const { server, client } = turn.original;
  const before = await readKeyStates(client);
  const differences = (wanted: KeyStates, found: KeyStates): string[] =>
    tellKeys(diffAlive(wanted, found), second, { reference, before });
  const expected = expectedAfter(selector, second, { reference, before });
  const report = await writeBackKeys(server, second, selector, environment);
  const after = await readKeyStates(client);
  const selected = part(after, expected, true);
  expect(
    differences(withoutGroupCounters(expected.selected), withoutGroupCounters(selected)),
    label,
  ).toEqual([]);
  expect(differences(expected.others, part(after, expected, false)), `${label}, others`).toEqual(
    [],
  );
  expect(report, label).toMatchObject({ conflicts: 0, refused: 0, uncertain: 0 });
  if (report.undo === null) {
    expect(report, label).toMatchObject({ state: 'nothing', restored: 0, deleted: 0 });
    return;
  }
  const changed = dice.once(2) ? await changeOne(client, before, selected) : null;
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
  expect(differences(wanted, back), `${label}, undone`).toEqual([]);
}

function part(states: KeyStates, { isSelected }: Expected, selected: boolean): KeyStates {
  return new Map([...states].filter(([name]) => isSelected(name) === selected));
}

/** So that no two writes are the same. */
let writes = 0;

/** A client overwrites one of the keys that the write-back has put. */
async function changeOne(
  client: NodeClient,
  before: KeyStates,
  after: KeyStates,
): Promise<{ readonly name: string; readonly state: KeyState } | null> {
  const laterMs = Date.now() + LIFE_LEFT_MS;
  const written = [...after].find(
    ([name, { digest, expiryMs }]) =>
      before.get(name)?.digest !== digest && (expiryMs === null || expiryMs > laterMs),
  );
  if (written === undefined) return null;
  const [name, { db, key }] = written;
  await client.pipeline([
    ['SELECT', db],
    ['SET', key, `write ${(writes += 1).toString()} of a client`],
    ['SELECT', 0],
  ]);
  const state = (await readKeyStates(client)).get(name);
  if (state === undefined) throw new Error(`${name} is not there`);
  return { name, state };
}
