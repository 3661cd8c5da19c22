import { expect, it } from 'vitest';
import { describeWithKafka } from '../../support/kafka.ts';
import { FleetBench, type FleetOwner } from '../../support/fleet-run.ts';
import { expectAll, expectOneLine, hostsOf } from '../../support/fleet-checks.ts';
import { describeWithS3 } from '../../support/s3-servers.ts';

const SHARDS = 6;
const TAKEOVER_MS_MAX = 30_000;
const BROKER_AWAY_MS = 20_000;
const TIMEOUT_MS = 300_000;

describeWithS3(
  'archivers that share six servers',
  () => {
    describeWithKafka('over a broker', () => {
      it(
        'go on where one was killed, one was frozen and one was cut off: no hole, and one owner at a time',
        async () => {
          await using fleet = await FleetBench.start({ shards: SHARDS });
          await fleet.write();
          for (const { name } of fleet.hosts) fleet.serve(name);
          const shared = await fleet.untilOwners(
            (owners) => hostsOf(owners).length === 3 && owners.every(isStored),
          );
          console.log(`shared out: ${whoHas(shared)}`);

          // The first is killed and the second frozen at the same moment.
          const killedMs = Date.now();
          const frozen = fleet.host('b').process!;
          await fleet.host('a').process!.kill();
          frozen.child.kill('SIGSTOP');
          const alone = await fleet.untilOwners((owners) => hostsOf(owners).join() === 'c');
          tell('one was killed and one frozen', shared, alone, killedMs);

          // Both come back while the third is cut off from broker and store.
          frozen.child.kill('SIGCONT');
          await Promise.all(lostBy('b', shared).map(() => frozen.until('capture-lost')));
          fleet.serve('a');
          const cutMs = Date.now();
          for (const way of fleet.ways) way.cut();
          const others = await fleet.untilOwners((owners) => !hostsOf(owners).includes('c'));
          tell('one was cut off', alone, others, cutMs);
          for (const way of fleet.ways) way.mend();
          await fleet.host('c').process!.until('capture-lost');
          const again = await fleet.untilOwners((owners) => hostsOf(owners).length === 3);
          console.log(`shared out again: ${whoHas(again)}`);

          // Without the broker nobody lets go of what it has, and nothing begins anew after it.
          await fleet.untilOwners((owners) => owners.every(({ released }) => !released));
          const before = await fleet.owners();
          await fleet.broker.stop();
          const stoppedMs = Date.now();
          await fleet.untilOwners(
            (owners) =>
              Date.now() - stoppedMs > BROKER_AWAY_MS &&
              owners.every(({ provenTo }) => (provenTo ?? 0) * 1000 > stoppedMs + 5_000),
          );
          await fleet.broker.restart();
          await fleet.untilOwners((owners) =>
            owners.every(
              ({ provenTo }) => (provenTo ?? 0) * 1000 > stoppedMs + BROKER_AWAY_MS + 8_000,
            ),
          );
          expect(claims(await fleet.owners())).toEqual(claims(before));

          for (const { process } of fleet.hosts) expect(process!.isRunning).toBe(true);
          await fleet.settle();
          const ends = fleet.hosts.map(({ process }) => process!.stop());
          expect(await Promise.all(ends)).toEqual([0, 0, 0]);
          for (const shard of fleet.shards) {
            await expectOneLine(fleet, shard.instance);
            await expectAll(fleet, shard);
          }
        },
        TIMEOUT_MS,
      );
    });
  },
  ['versitygw'],
);

function isStored({ provenTo, isResumable }: FleetOwner): boolean {
  return provenTo !== null && isResumable;
}

function claims(owners: readonly FleetOwner[]): readonly string[] {
  return owners.map(({ instance, host, generation }) => `${instance} ${host} ${generation}`);
}

function whoHas(owners: readonly FleetOwner[]): string {
  return owners.map(({ instance, host }) => `${instance} ${host}`).join(', ');
}

function lostBy(host: string, owners: readonly FleetOwner[]): readonly FleetOwner[] {
  return owners.filter((owner) => owner.host === host);
}

/** Says how long each log that changed hands was without an owner that was alive. */
function tell(
  what: string,
  before: readonly FleetOwner[],
  after: readonly FleetOwner[],
  sinceMs: number,
): void {
  const moved = after.filter(
    ({ instance, host }) => before.find((one) => one.instance === instance)?.host !== host,
  );
  const times = moved.map(({ claimedMs }) => claimedMs - sinceMs).sort((a, b) => a - b);
  console.log(`${what}: ${moved.length} taken over after ${times.join(', ')} ms`);
  expect(times.at(-1)).toBeLessThanOrEqual(TAKEOVER_MS_MAX);
}
