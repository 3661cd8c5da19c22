import { readFile, writeFile } from 'node:fs/promises';
import { systemClock, systemRandom } from '@tidemark/system';
import { expect } from 'vitest';
import { backupHandler } from '../../services/control/src/handlers/backup.ts';
import type { Job } from '../../services/control/src/jobs/job.ts';
import { SecretFolder } from '../../services/control/src/provision/secrets.ts';
import { CollectingLogger } from './bus/collecting-logger.ts';
import { JobHost } from './bus/job-host.ts';
import type { FleetBench, FleetOwner } from './fleet-run.ts';

/**
 * A host without workers asks for backups of all instances but one, and one that has workers and captures others
 * for that. Workers stand beside each archiver, and one where no archiver is: each backup is made by the host that
 * captures the instance, whichever that is by now.
 */
export async function expectBackupsOfAll(
  fleet: FleetBench,
  owners: readonly FleetOwner[],
): Promise<void> {
  const hosts: JobHost[] = [];
  const open = async (config: string, workers: boolean): Promise<JobHost> => {
    const host = await JobHost.of(config, workers, (workspace) =>
      backupHandler({
        ...{ workspace, clock: systemClock, random: systemRandom },
        ...{ secrets: new SecretFolder(workspace.config), logger: new CollectingLogger() },
      }),
    );
    hosts.push(host);
    return host;
  };
  try {
    const [desk, first] = await Promise.all([
      open(await beside(fleet, 'desk'), false),
      open(fleet.host('a').config, true),
      open(await beside(fleet, 'bare'), true),
      ...['b', 'c'].map((name) => open(fleet.host(name).config, true)),
    ]);
    for (const { workspace } of [desk, first]) await workspace.sync(new AbortController().signal);
    await askForAll(fleet, owners, { desk, first });
  } finally {
    await Promise.all(hosts.map((host) => host[Symbol.asyncDispose]()));
  }
}

async function askForAll(
  fleet: FleetBench,
  owners: readonly FleetOwner[],
  { desk, first }: { readonly desk: JobHost; readonly first: JobHost },
): Promise<void> {
  const actor = { name: 'ops', via: 'token' } as const;
  const others = owners.filter(({ host }) => host !== 'a');
  expect(others.length).toBeGreaterThan(1);
  const jobs = await Promise.all(
    owners.map(async (owner) => {
      const { instance } = owner;
      // Also of a host that has workers, and does not capture it.
      const asks = owner === others[0] ? first : desk;
      const order = { kind: 'backup', instance, request: { mode: 'manual' }, actor } as const;
      return { asks, id: (await asks.jobs.submit(order)).id };
    }),
  );
  const now = (): readonly Job[] => jobs.map(({ asks, id }) => asks.jobs.get(id));
  await fleet.until('all backups are made', () => now().every(({ endedMs }) => endedMs !== null));
  expect(now().map(({ state, problem }) => [state, problem])).toEqual(
    jobs.map(() => ['succeeded', null]),
  );
  for (const { instance, generation } of owners) {
    const made = (await fleet.entries(instance)).filter(
      ({ event }) => event.type === 'SnapshotStored' && event.mode === 'manual',
    );
    expect(made.map((entry) => entry.generation)).toEqual([generation]);
  }
}

/** The configuration of a host that shares all but the state folder. */
async function beside(fleet: FleetBench, name: string): Promise<string> {
  const { config, stateDir } = fleet.host('a');
  const text = await readFile(config, 'utf8');
  const path = config.replace(/a\.toml$/, `${name}.toml`);
  await writeFile(path, text.replace(`dir = "${stateDir}"`, `dir = "${stateDir}-${name}"`), {
    mode: 0o600,
  });
  return path;
}
