import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { record, type Recorded } from '../../support/replay-run.ts';
import { EVERY_KEY, undo, writeBack } from '../../support/write-back/write-run.ts';

const LIFE_MS = 300;

/** Lists then, strings now; one of them has expired in between. */
async function lists(): Promise<Recorded> {
  return record({
    during: [
      async (client) => {
        await client.rpush('kept', 'a', 'b');
        await client.rpush('short', 'a');
        await client.pexpire('short', LIFE_MS);
        await client.set('word', 'then');
      },
      async (client) => {
        await sleep(LIFE_MS);
        await client.set('kept', 'a string');
        await client.set('short', 'a string');
        await client.set('word', 'now');
        await client.set('new', 'since');
      },
    ],
  });
}

function only(...types: readonly string[]): { readonly selector: typeof EVERY_KEY } {
  return { selector: { ...EVERY_KEY, types } };
}

describe('a selection by type of what is written back', () => {
  it('goes by the type that keys had, and leaves keys alone that were of another', async () => {
    await using recorded = await lists();
    const { client } = recorded;
    const { report } = await writeBack(recorded, only('string'));
    expect(report).toMatchObject({ restored: 1, deleted: 1, conflicts: 0 });
    expect(await client.mget('kept', 'short', 'word', 'new')).toEqual([
      ...['a string', 'a string', 'then', null],
    ]);
    await undo(recorded, report.id);
    expect(await client.mget('word', 'new')).toEqual(['now', 'since']);
  });

  it('puts back a list where a string stands now, and nothing else', async () => {
    await using recorded = await lists();
    const { client } = recorded;
    const { report } = await writeBack(recorded, only('list'));
    expect(report).toMatchObject({ restored: 1, deleted: 0 });
    expect(await client.lrange('kept', 0, -1)).toEqual(['a', 'b']);
    expect(await client.mget('short', 'word', 'new')).toEqual(['a string', 'now', 'since']);
    await undo(recorded, report.id);
    expect(await client.get('kept')).toBe('a string');
  });
});
