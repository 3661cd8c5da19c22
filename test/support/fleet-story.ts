import { expect } from 'vitest';
import { expectAll, expectOneLine, hostsOf } from './fleet-checks.ts';
import { FleetBench, type FleetOwner } from './fleet-run.ts';

/** How a story of a fleet goes. */
export interface FleetStory {
  readonly shards: number;
  readonly brokerAwayMs: number;
  /** How long a log may be without an owner that is alive. */
  readonly takeoverMsMax: number;
}

/**
 * Three archivers share servers that are written to. One is killed and one frozen at the same moment;
 * both come back while the third is cut off from broker and store; then the broker is away. At the end
 * every log has one timeline without a hole and one owner at a time, and holds all that was written.
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
  const alone = await killAndFreeze(fleet, shared, story);
  say('one has all');
  await cutOff(fleet, alone, story);
  say('the third is back');
  const again = await fleet.untilSettled();
  say(`shared out again: ${whoHas(again)}`);
  expect(hostsOf(again)).toHaveLength(3);
  await expectStatus(fleet, again);
  await brokerAway(fleet, again, story);
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

/** Host c is left alone with everything. */
async function killAndFreeze(
  fleet: FleetBench,
  shared: readonly FleetOwner[],
  story: FleetStory,
): Promise<readonly FleetOwner[]> {
  const sinceMs = Date.now();
  const [killed, frozen] = [fleet.archiver('a'), fleet.archiver('b')];
  await killed.kill();
  frozen.child.kill('SIGSTOP');
  const alone = await fleet.untilOwners((owners) => hostsOf(owners).join() === 'c');
  tell('one was killed and one frozen', { before: shared, after: alone, sinceMs }, story);
  frozen.child.kill('SIGCONT');
  // Its next entry is refused: it lets go, and goes on as a host that may be given work.
  await frozen.until('capture-lost');
  fleet.serve('a');
  return alone;
}

/** The two others take over from c; then it comes back. */
async function cutOff(
  fleet: FleetBench,
  alone: readonly FleetOwner[],
  story: FleetStory,
): Promise<void> {
  const sinceMs = Date.now();
  for (const way of fleet.ways) way.cut();
  const others = await fleet.untilOwners((owners) => !hostsOf(owners).includes('c'));
  tell('one was cut off', { before: alone, after: others, sinceMs }, story);
  for (const way of fleet.ways) way.mend();
  await fleet.archiver('c').until('capture-lost');
}

/** Nobody lets go of what it has, and nothing begins anew when the broker is back. */
async function brokerAway(
  fleet: FleetBench,
  before: readonly FleetOwner[],
  { brokerAwayMs }: FleetStory,
): Promise<void> {
  const sinceMs = Date.now();
  await fleet.broker.kill();
  const untilProven = (ms: number): Promise<readonly FleetOwner[]> =>
    fleet.untilOwners((owners) => owners.every(({ provenTo }) => (provenTo ?? 0) * 1000 > ms));
  await untilProven(sinceMs + brokerAwayMs);
  await fleet.broker.restart();
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

/** Says how long each log that changed hands was without an owner that was alive. */
function tell(what: string, { before, after, sinceMs }: Change, story: FleetStory): void {
  const moved = after.filter(
    ({ instance, host }) => before.find((one) => one.instance === instance)?.host !== host,
  );
  const times = moved.map(({ claimedMs }) => claimedMs - sinceMs).sort((a, b) => a - b);
  console.log(`${what}: ${moved.length} logs taken over after ${times.join(', ')} ms`);
  expect(moved.length).toBeGreaterThan(0);
  expect(times.at(-1)).toBeLessThanOrEqual(story.takeoverMsMax);
}
