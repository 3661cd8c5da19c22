import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildAof } from '../aof-run.ts';
import type { ServerBinary } from '../servers.ts';
import { Dice } from '../workload.ts';
import type { DependencyOptions } from '../workload/dependency-workload.ts';
import { checkSecond, KeyTarget, type SecondResult } from './check-selections.ts';
import { KeyHistory } from './key-history.ts';

/** A history and how often it is selected from. */
export interface SelectionSuite {
  readonly name: string;
  /** Null = the server on the PATH. */
  readonly server: ServerBinary | null;
  readonly seed: number;
  readonly seconds: number;
  /** Random selectors of each second. */
  readonly selectors: number;
  readonly workload: Partial<DependencyOptions>;
  /** What else must hold of the history, and of all restores together. */
  readonly history?: (history: KeyHistory) => Promise<void>;
  readonly results?: (results: readonly SecondResult[]) => void;
}

/** Records a history and restores parts of every second of it. */
export function describeSelections(suite: SelectionSuite): void {
  const { name, server, seed, seconds, selectors, workload } = suite;
  describe(name, () => {
    const results: SecondResult[] = [];
    let history: KeyHistory | null = null;
    let target: KeyTarget | null = null;
    beforeAll(async () => {
      buildAof();
      history = await KeyHistory.record({ server, seconds, workload: { seed, ...workload } });
      target = await KeyTarget.start(server);
    });
    afterAll(async () => {
      await target?.[Symbol.asyncDispose]();
      await history?.[Symbol.asyncDispose]();
    });
    const at = <T>(part: T | null): T => {
      if (part === null) throw new Error('nothing was recorded');
      return part;
    };

    it.each(Array.from({ length: seconds }, (_, i) => i))(
      'are those of a full restore, and no other key is there: second %i',
      async (i) => {
        const draw = { dice: new Dice(seed + i), selectors };
        const second = at(history).seconds[i] ?? 0;
        const result = await at(history).read((environment) =>
          checkSecond(second, environment, at(target), draw),
        );
        expect(Math.max(...result.selected)).toBeGreaterThan(0);
        results.push(result);
      },
    );

    it('come from a history that holds what it is to hold', async () => {
      expect(results).toHaveLength(seconds);
      await suite.history?.(at(history));
      suite.results?.(results);
    });
  });
}
