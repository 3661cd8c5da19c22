import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  COMMAND_CASES,
  GLOBAL_CASES,
  type CommandCase,
} from '../../support/key-flashback/command-cases.ts';
import { connect, DATABASES } from '../../support/key-flashback/key-history.ts';
import { KeyTarget } from '../../support/key-flashback/check-selections.ts';
import {
  diffKeyStates,
  readKeyStates,
  statesWhere,
  type KeyStates,
} from '../../support/key-flashback/key-oracle.ts';
import { record, restoreInto, type Act, type Recorded } from '../../support/replay-run.ts';
import { selectKeys } from '../../support/key-flashback/random-selector.ts';

const CONFIG = { databases: DATABASES.toString() };

/** Runs the parts of some cases side by side. */
function actsOf(cases: readonly CommandCase[]): readonly Act[] {
  const parts = Math.max(...cases.map((one) => one.parts.length));
  return Array.from({ length: parts }, (_, part): Act => async (client) => {
    for (const [number, one] of cases.entries()) {
      for (const line of one.parts[part] ?? []) await run(client, line, prefixOf(number));
      await client.select(0);
    }
  });
}

function prefixOf(number: number): string {
  return `case${number.toString()}:`;
}

async function run(client: Redis, line: string, prefix: string): Promise<void> {
  const words = line.replaceAll('~', prefix).split(' ');
  const [first = ''] = words;
  if (first.startsWith('@')) {
    await client.select(Number(first.slice(1)));
    words.shift();
  }
  const [name = '', ...args] = words;
  await client.call(name, ...args);
  if (first.startsWith('@')) await client.select(0);
}

async function recordCases(cases: readonly CommandCase[]): Promise<Recorded> {
  const [before, ...during] = actsOf(cases);
  return record({ config: CONFIG, ...(before === undefined ? {} : { before }), during });
}

async function statesOf(recorded: Recorded): Promise<KeyStates> {
  await using client = await connect(recorded.source);
  return await readKeyStates(client);
}

describe('a key that depends on others', () => {
  let target: KeyTarget;
  let recorded: Recorded;
  let states: KeyStates;
  let everything = 0;
  beforeAll(async () => {
    target = await KeyTarget.start(null);
    recorded = await recordCases(COMMAND_CASES);
    const whole = await restoreInto(recorded.archive, target.server, { promote: false });
    everything = whole.commands;
    states = await target.takeStates();
  });
  afterAll(async () => {
    await target[Symbol.asyncDispose]();
    await recorded[Symbol.asyncDispose]();
  });

  it.each(COMMAND_CASES.map((one, number) => ({ ...one, number })))(
    'is restored alone, as it was, through $name',
    async ({ keys, number }) => {
      const { spec, selects } = selectKeys(keys.map((key) => prefixOf(number) + key));
      const report = await restoreInto(recorded.archive, target.server, {
        ...{ selector: spec, promote: false, allowFlush: true },
      });
      const wanted = statesWhere(states, selects);
      expect(diffKeyStates(wanted, await target.takeStates())).toEqual([]);
      expect(report.commands).toBeLessThan(everything / 4);
    },
  );

  it.each(GLOBAL_CASES)('is restored alone, as it was, through $name', async (one) => {
    await using alone = await recordCases([one]);
    const { spec, selects } = selectKeys(one.keys.map((key) => prefixOf(0) + key));
    await restoreInto(alone.archive, target.server, {
      ...{ selector: spec, promote: false, allowFlush: true },
    });
    const wanted = statesWhere(await statesOf(alone), selects);
    expect(diffKeyStates(wanted, await target.takeStates())).toEqual([]);
  });
});
