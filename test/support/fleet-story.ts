import { loadavg } from 'node:os';
import { systemClock } from '@tidemark/system';
import { expect } from 'vitest';
import { expectBackupsOfAll } from './fleet-backups.ts';
import { expectAll, expectOneLine, hostsOf } from './fleet-checks.ts';
import { FleetBench, type FleetOwner } from './fleet-run.ts';
import { takeoverTimes, tellTimes } from './fleet-times.ts';
import type { ArchiverProcess } from './tidemark-cli.ts';

/** Captures go on while a broker is away: what is proven then is so long ago at the most. */
const ABOUT_MS = 5_000;

/** How a story of a fleet goes. */
export interface FleetStory {
  readonly shards: number;
  /** Less than that of a fleet by itself, to wait less. */
  readonly heartbeat?: string;
  readonly brokerAwayMs: number;
  /** Whether the broker is killed, else stopped in good order: then it is back sooner. */
  readonly brokerDies: boolean;
  /** How long a log may be without an owner that is alive. */
  readonly takeoverMsMax: number;
}

/**
 * Three archivers share servers that are written to. One is frozen, and one cut off from broker and
 * store: the third has all. Then one is killed and one cut off from the store alone, while the third
 * is cut off from the broker as soon as it has the work; it keeps what it captures. Then the broker is
 * away. At the end every log has one timeline without a hole and one owner at a time, and holds all
 * that was written.
 */
export async function tellFleetStory(story: FleetStory): Promise<void> {
  const beganMs = performance.now();
  const say = (what: string): void =>
    console.log(`${((performance.now() - beganMs) / 1000).toFixed(1)} s: ${what}`);
  await using fleet = await FleetBench.start(story);
  say('servers run');
  await fleet.write();
  for (const { name } of fleet.hosts) fleet.serve(name);
  const shared = await fleet.untilSettled();
  say(`shared out: ${whoHas(shared)}`);
  expect(hostsOf(shared)).toHaveLength(3);
  await freezeAndCutOff(fleet, shared, story);
  say('one has all');
  const again = await fleet.untilSettled();
  say(`shared out again: ${whoHas(again)}`);
  await killAndCutOff(fleet, again, story);
  say('the third has all');
  await cutOffBroker(fleet);
  say('it has kept all, and was cut off from the broker');
  const last = await fleet.untilSettled();
  say(`shared out at last: ${whoHas(last)}`);
  expect(hostsOf(last)).toHaveLength(3);
  await expectStatus(fleet, last);
  await expectBackupsOfAll(fleet, last);
  say('each of them has made backups that were asked for over the broker');
  await brokerAway(fleet, last, story, say);
  say('the broker was away');
  for (const { process } of fleet.hosts) expect(process?.isRunning).toBe(true);
  await fleet.settle();
  await fleet.broker.kill(); // to end needs no broker
  const ends = fleet.hosts.map(async ({ process }) => process?.stop());
  expect(await Promise.all(ends)).toEqual([0, 0, 0]);
  say('all have ended');
  for (const shard of fleet.shards) {
    await expectOneLine(fleet, shard.instance);
    await expectAll(fleet, shard);
  }
  say('all is there');
}

/** Host a is left alone with everything; the others find their logs lost and come back. */
async function freezeAndCutOff(
  fleet: FleetBench,
  before: readonly FleetOwner[],
  story: FleetStory,
): Promise<void> {
  const sinceMs = Date.now();
  const { cToStore, cToBroker } = fleet.ways;
  const [frozen, cut] = [fleet.archiver('b'), fleet.archiver('c')];
  const letGo = [frozen, cut].map(letGoCount);
  frozen.child.kill('SIGSTOP');
  for (const way of [cToStore, cToBroker]) way.cut();
  const after = await fleet.untilOwners((owners) => hostsOf(owners).join() === 'a');
  await tell('one was frozen and one cut off', { before, after, sinceMs }, { fleet, story });
  frozen.child.kill('SIGCONT');
  for (const way of [cToStore, cToBroker]) way.mend();
  // Their next entries are refused: they let go, and go on as hosts that may be given work.
  await fleet.until('both find their logs lost', () =>
    [frozen, cut].every((host, at) => letGoCount(host) > (letGo[at] ?? 0)),
  );
}

/** Host c takes over from one that is killed and from one that reaches the broker and not the store. */
async function killAndCutOff(
  fleet: FleetBench,
  before: readonly FleetOwner[],
  story: FleetStory,
): Promise<void> {
  const sinceMs = Date.now();
  const cut = fleet.archiver('b');
  const unfit = cut.count('fleet-unfit');
  fleet.ways.bToStore.cut();
  await fleet.archiver('a').kill();
  const after = await fleet.untilOwners((owners) => hostsOf(owners).join() === 'c');
  const what = 'one was killed and one cut off from the store';
  await tell(what, { before, after, sinceMs }, { fleet, story });
  expect(cut.count('fleet-unfit')).toBeGreaterThan(unfit); // it left the group by itself
}

/**
 * Host c has everything and reaches the store and not the broker, when the others come back. They are
 * given its work, and get nothing: its logs show life. When it is back it goes on with its share, and
 * hands the rest over in good order.
 */
async function cutOffBroker(fleet: FleetBench): Promise<void> {
  const [back, cut] = [fleet.archiver('b'), fleet.archiver('c')];
  const before = await fleet.owners();
  const [lostOfBack, lostOfCut] = [letGoCount(back), cut.count('capture-lost')];
  fleet.ways.cToBroker.cut();
  fleet.ways.bToStore.mend();
  fleet.serve('a');
  // What b had sealed and not stored is not put behind what c has captured since.
  await fleet.until('b finds its logs lost', () => letGoCount(back) > lostOfBack);
  const all = fleet.shards.map(({ instance }) => instance).sort();
  await fleet.until('the others are given all', async () => {
    const given = await Promise.all(['a', 'b'].map((name) => fleet.assigned(name)));
    return given.flat().sort().join() === all.join();
  });
  const givenMs = Date.now();
  const proven = await fleet.untilOwners((owners) =>
    owners.every(({ provenTo }) => (provenTo ?? 0) * 1000 > givenMs),
  );
  expect(claims(proven)).toEqual(claims(before));
  fleet.ways.cToBroker.mend();
  for (const { instance, host, generation, tookOver } of await fleet.untilSettled()) {
    const had = before.find((one) => one.instance === instance)?.generation ?? 0;
    if (host === 'c') expect({ instance, generation }).toEqual({ instance, generation: had });
    else expect({ instance, tookOver }).toEqual({ instance, tookOver: false });
    // The group may share out once more as members come back, each time in good order.
    expect(generation - had, instance).toBeLessThanOrEqual(2);
  }
  expect(cut.count('capture-lost')).toBe(lostOfCut);
}

/** Nobody lets go of what it has, and nothing begins anew when the broker is back. */
async function brokerAway(
  fleet: FleetBench,
  before: readonly FleetOwner[],
  { brokerAwayMs, brokerDies }: FleetStory,
  say: (what: string) => void,
): Promise<void> {
  await (brokerDies ? fleet.broker.kill() : fleet.broker.stop());
  const sinceMs = Date.now();
  const untilProven = (ms: number): Promise<readonly FleetOwner[]> =>
    fleet.untilOwners((owners) => owners.every(({ provenTo }) => (provenTo ?? 0) * 1000 > ms));
  await untilProven(sinceMs + brokerAwayMs - ABOUT_MS);
  await systemClock.sleep(Math.max(0, sinceMs + brokerAwayMs - Date.now()));
  say('nobody needed the broker');
  await fleet.broker.restart();
  say('the broker is back');
  await fleet.untilSettled();
  expect(claims(await fleet.owners())).toEqual(claims(before));
}

/** Any host says who captures what. */
async function expectStatus(fleet: FleetBench, owners: readonly FleetOwner[]): Promise<void> {
  const status = await fleet.status('b');
  const own = owners.filter(({ host }) => host === 'b').map(({ instance }) => instance);
  expect(status.fleet).toMatchObject({ state: 'member', assigned: own.sort(), gone: [] });
  const told = status.instances.map(({ instance, owner }) => ({ instance, ...owner }));
  for (const { instance, generation, host } of owners) {
    const owner = told.find((one) => one.instance === instance);
    expect(owner).toMatchObject({ generation, state: 'alive' });
    expect(owner?.id === status.fleet?.ownerId).toBe(host === 'b');
  }
}

function claims(owners: readonly FleetOwner[]): readonly string[] {
  return owners.map(({ instance, host, generation }) => `${instance} ${host} ${generation}`);
}

function whoHas(owners: readonly FleetOwner[]): string {
  return owners.map(({ instance, host }) => `${instance} ${host}`).join(', ');
}

interface Change {
  readonly before: readonly FleetOwner[];
  readonly after: readonly FleetOwner[];
  readonly sinceMs: number;
}

/** How often a host found a log lost, by itself or when it was told to let go of it. */
function letGoCount(host: ArchiverProcess): number {
  return host.count('capture-lost') + host.count('release-failed');
}

/** Says how long each log that changed hands was without an owner that was alive, and what it waited for. */
async function tell(
  what: string,
  { before, after, sinceMs }: Change,
  { fleet, story }: { readonly fleet: FleetBench; readonly story: FleetStory },
): Promise<void> {
  const moved = after.filter(
    ({ instance, host }) => before.find((one) => one.instance === instance)?.host !== host,
  );
  const times = await Promise.all(moved.map((owner) => takeoverTimes(fleet, owner, sinceMs)));
  const claimed = times.map((each) => each.claimed).sort((a, b) => a - b);
  console.log(
    `${what}: ${moved.length} logs taken over after ${claimed.join(', ')} ms (load ${loadavg()[0]?.toFixed(1)})\n${tellTimes(times)}`,
  );
  expect(moved.length).toBeGreaterThan(0);
  expect(claimed.at(-1)).toBeLessThanOrEqual(story.takeoverMsMax);
}
