import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ArchiverFleet } from '../../../services/archiver/src/fleet/fleet-captures.ts';
import type { WorkDesk } from '../../../services/archiver/src/fleet/work-sharing.ts';
import {
  ArchiverBench,
  INSTANCE,
  waitFor,
  type RunningArchiver,
} from '../../support/archiver-run.ts';

/** Work that a test gives and takes by hand, as a group would. */
class ByHand implements ArchiverFleet {
  #desk: WorkDesk | null = null;
  readonly isShared = (): boolean => true;
  readonly sharing = {
    run: (_: readonly string[], desk: WorkDesk, signal: AbortSignal): Promise<void> => {
      this.#desk = desk;
      desk.joined();
      return new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    },
  };

  /** Known once its archiver takes part. */
  get desk(): WorkDesk {
    if (this.#desk === null) throw new Error('the archiver does not take part yet');
    return this.#desk;
  }

  get takesPart(): boolean {
    return this.#desk !== null;
  }
}

interface TwoHosts {
  readonly bench: ArchiverBench;
  readonly first: ByHand;
  readonly second: ByHand;
}

async function openTwo(backlog: string): Promise<TwoHosts> {
  const bench = await ArchiverBench.open({
    ...{ source: 'psync', config: { 'repl-backlog-size': backlog } },
  });
  return { bench, first: new ByHand(), second: new ByHand() };
}

async function resyncs({
  bench,
}: TwoHosts): Promise<{ readonly full: number; readonly partial: number }> {
  const log = await bench.server.log();
  const count = (text: RegExp): number => log.match(text)?.length ?? 0;
  return {
    full: count(/Full resync requested by replica/g),
    partial: count(/Partial resynchronization request from \S+ accepted/g),
  };
}

/** The first host captures, is told that the second one is to go on, and something is written between. */
async function handOver(hosts: TwoHosts, between: string): Promise<RunningArchiver> {
  const { bench, first, second } = hosts;
  const client = await bench.server.connect();
  const one = bench.start({ state: 'one', fleet: first });
  const other = bench.start({ state: 'other', fleet: second });
  await waitFor(() => first.takesPart && second.takesPart);
  first.desk.assigned([INSTANCE]);
  await one.until('caught-up');
  await client.set('before', 'b');
  await one.ask('roll');
  await waitFor(async () => (await one.status()).isResumable);
  second.desk.assigned([INSTANCE]);
  await waitFor(async () => (await other.status()).state === 'waiting');
  await first.desk.revoked([INSTANCE]);
  await client.set('between', between);
  await client.set('between', 'short');
  await other.until('caught-up');
  await client.set('after', 'a');
  await other.ask('roll');
  await waitFor(async () => (await other.status()).isResumable);
  return one;
}

describe('a capture that is released for another host', () => {
  it('goes on there by a partial resync, in the same timeline, with nothing left out', async () => {
    const hosts = await openTwo('16mb');
    await using bench = hosts.bench;
    await handOver(hosts, 'x'.repeat(100_000));
    const types = (await bench.events()).map(({ type }) => type);
    expect(types.filter((type) => type === 'TimelineOpened')).toHaveLength(1);
    expect(types).not.toContain('TimelineClosed');
    const claims = types.filter((type) => type === 'OwnerClaimed' || type === 'Released');
    expect(claims).toEqual(['OwnerClaimed', 'Released', 'OwnerClaimed']);
    expect(await resyncs(hosts)).toEqual({ full: 1, partial: 1 });
    const commands = (await bench.storedCommands()).toString('latin1');
    const keys = [...commands.matchAll(/SET\r\n\$\d+\r\n(\w+)/gi)].map(([, key]) => key);
    expect(keys).toEqual(['before', 'between', 'between', 'after']);
    // What the first one received stays sealed where it is, for when the instance comes back.
    const wire = join(bench.stateDir('one'), 'spool', `${INSTANCE}.wire`);
    expect(existsSync(wire) && (await readdir(wire)).length).toBeGreaterThan(0);
  });

  it('comes back to its host, which goes on from what the other one stored', async () => {
    const hosts = await openTwo('16mb');
    await using bench = hosts.bench;
    const { first, second } = hosts;
    const one = await handOver(hosts, 'x');
    first.desk.assigned([INSTANCE]);
    await second.desk.revoked([INSTANCE]);
    await waitFor(async () => (await one.status()).state === 'caught-up');
    const client = await bench.server.connect();
    await client.set('back', 'b');
    await one.ask('roll');
    expect((await bench.storedCommands()).toString('latin1')).toContain('back');
    expect(await bench.events('OwnerClaimed')).toHaveLength(3);
    expect(await bench.events('TimelineOpened')).toHaveLength(1);
    expect((await resyncs(hosts)).full).toBe(1);
  });

  it('leaves exactly one hole when the backlog of the node does not reach back', async () => {
    const hosts = await openTwo('16kb');
    await using bench = hosts.bench;
    await handOver(hosts, 'x'.repeat(300_000));
    const closed = await bench.events('TimelineClosed');
    expect(closed).toMatchObject([{ reason: 'backlog-overrun' }]);
    const opened = await bench.events('TimelineOpened');
    expect(opened).toMatchObject([{ reason: 'attach' }, { reason: 'backlog-overrun' }]);
    expect(await resyncs(hosts)).toEqual({ full: 1, partial: 0 }); // the second one was asked for to go on
  });
});
