import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis } from '../../support/redis-server.ts';
import { record, restoreError, restoreInto, type Recorded } from '../../support/replay-run.ts';
import { selecting } from '../../support/selected-log.ts';

describe('a target with less memory than the instance takes', () => {
  let recorded: Recorded;
  beforeAll(async () => {
    recorded = await record({
      before: (client) => client.set('one', '1'),
      during: [(client) => client.append('one', '2')],
    });
  });
  afterAll(() => recorded[Symbol.asyncDispose]());

  it('takes some of its keys, and is refused for all of them', async () => {
    await using target = await startRedis({ aof: false, config: { maxmemory: '500kb' } });
    expect(await restoreError(recorded.archive, target)).toMatchObject({
      code: 'TM_TARGET_MEMORY',
    });
    const report = await restoreInto(recorded.archive, target, { selector: selecting('one') });
    expect(report).toMatchObject({ state: 'succeeded', keys: 1 });
    const client = await target.connect();
    expect(await client.get('one')).toBe('12');
  });
});
