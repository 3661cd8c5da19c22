import type { NodeClient } from '@tidemark/client';
import { systemClock } from '@tidemark/system';
import { describe, expect, it } from 'vitest';
import { buildAof } from '../../support/aof-run.ts';
import { ClientLoad, loadKeys, type LoadResult } from '../../support/key-flashback/client-load.ts';
import {
  connect,
  DATABASES,
  KeyHistory,
  scratchAt,
} from '../../support/key-flashback/key-history.ts';
import {
  readKeyStates,
  statesWhere,
  withoutGroupCounters,
  type KeyStates,
} from '../../support/key-flashback/key-oracle.ts';
import {
  diffAlive,
  expectedAfter,
  tellKeys,
  undoWriteBack,
  writeBackKeys,
} from '../../support/key-flashback/original-keys.ts';
import {
  describeSpec,
  randomSelector,
  type RandomSelector,
} from '../../support/key-flashback/random-selector.ts';
import { chooseSeed, Dice } from '../../support/workload.ts';

const SECONDS = 5;
const SHORT_LIVES_MS = 1_300;
const PER_SECOND = 10_000;
/** A shared machine may not keep up; half of it is still a load. */
const PER_SECOND_MIN = 5_000;

/** Selectors that leave the keys of the load alone. */
function quietSelector(dice: Dice, reference: KeyStates): RandomSelector {
  for (;;) {
    const selector = randomSelector(dice, [...reference.values()], DATABASES);
    const touched = loadKeys().some((key) =>
      selector.selects({ db: 0, key: Buffer.from(key), type: 'string' }),
    );
    if (!touched) return selector;
  }
}

const withoutLoad = (states: KeyStates): KeyStates => {
  const names = new Set(loadKeys());
  return statesWhere(states, ({ db, key }) => db !== 0 || !names.has(key.toString()));
};

async function countsOf(client: NodeClient, load: LoadResult): Promise<Map<string, number>> {
  const names = [...load.counts.keys()];
  const values = await client.pipeline(names.map((key) => ['GET', key]));
  return new Map(names.map((name, i) => [name, Number(values[i])]));
}

describe('selected keys of an original that clients write to, 10,000 commands each second', () => {
  it('are as in a full restore, and no write of the clients is lost, then and at the undo', async () => {
    buildAof();
    const seed = chooseSeed('keys of the original under load');
    await using history = await KeyHistory.record({
      ...{ server: null, seconds: SECONDS, workload: { seed } },
    });
    const { server } = history.bench;
    await using client = await connect(server);
    await using writer = await connect(server);
    await systemClock.sleep(SHORT_LIVES_MS);
    const dice = new Dice(seed);
    const rates: number[] = [];
    await history.read(async (environment) => {
      for (const second of history.seconds) {
        await using whole = await scratchAt(second, environment);
        const reference = await readKeyStates(whole.client);
        const selector = quietSelector(dice, reference);
        const label = `seed ${seed.toString()}, second ${second.toString()} of ${describeSpec(selector.spec)}`;
        await client.call('DEL', ...loadKeys());
        const before = await readKeyStates(client);
        const expected = expectedAfter(selector, second, { reference, before });
        const load = new ClientLoad(writer, PER_SECOND);
        load.start();
        const report = await writeBackKeys(server, second, selector, environment);
        const result = await load.stop();
        rates.push(result.perSecond);
        expect(await countsOf(client, result), label).toEqual(result.counts);
        const known = await readKeyStates(client);
        const after = withoutLoad(
          new Map([...known].filter(([name]) => expected.isSelected(name) !== null)),
        );
        const wanted = new Map([...expected.others, ...expected.selected]);
        const differences = diffAlive(withoutGroupCounters(wanted), withoutGroupCounters(after));
        expect(tellKeys(differences, second, { reference, before }), label).toEqual([]);
        expect(report, label).toMatchObject({ conflicts: 0, refused: 0 });
        if (report.undo === null) continue;
        const again = new ClientLoad(writer, PER_SECOND);
        await client.call('DEL', ...loadKeys());
        again.start();
        const { failure } = await undoWriteBack(server, report.id, environment);
        const undone = await again.stop();
        expect(failure, label).toBeNull();
        expect(await countsOf(client, undone), label).toEqual(undone.counts);
        const back = withoutLoad(await readKeyStates(client));
        const left = tellKeys(diffAlive(before, back), second, { reference, before });
        expect(left, `${label}, undone`).toEqual([]);
      }
    });
    console.log(`commands of clients each second: ${rates.map(Math.round).join(' ')}`);
    expect(Math.max(...rates)).toBeGreaterThan(PER_SECOND_MIN);
  });
});
