import { describe, expect, it } from 'vitest';
import { SetLife } from '../support/sentinel-set/set-life.ts';
import { newestServer } from '../support/servers.ts';

const ROUNDS = 20;

/** Two failovers under load: the first one graceful, the second one by SIGKILL. */
async function failOverTwice(newer: string | undefined): Promise<number> {
  await using life = await SetLife.start({ newer });
  await life.record();
  await life.failover();
  await life.record();
  await life.kill();
  await life.record();
  return await life.expectHistory();
}

describe('a capture of a Sentinel set of three', () => {
  it(`restores both sides of two failovers, ${ROUNDS} times`, async () => {
    const valkey = newestServer('valkey')?.binary;
    const branches: number[] = [];
    for (let round = 1; round <= ROUNDS; round++) {
      branches.push(await failOverTwice(round % 2 === 0 ? valkey : undefined));
      console.log(`round ${round}: ${branches.at(-1)} of 2 failovers left a branch`);
    }
    expect(branches).toHaveLength(ROUNDS);
  });
});
