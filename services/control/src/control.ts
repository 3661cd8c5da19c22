import { join } from 'node:path';
import { LateMeter, timedKeys, timedStore, type Logger } from '@tidemark/archiver';
import type { Clock, Random } from '@tidemark/core';
import { Workspace } from '@tidemark/workspace';
import { Audit } from './audit/audit.ts';
import { CaptureWatch } from './fleet/capture-watch.ts';
import { runFleet } from './fleet/run-fleet.ts';
import { followConfig } from './hosts/follow-config.ts';
import { watchHosts } from './hosts/watch-hosts.ts';
import type { JobDesk } from './jobs/job.ts';
import { LocalJobDesk } from './jobs/job-desk.ts';
import { JobRows } from './jobs/job-rows.ts';
import type { RunnerTiming } from './jobs/job-runner.ts';
import { keepRebuilt, runWorker } from './jobs/open-worker.ts';
import { takeBackLeft } from './jobs/take-back-left.ts';
import { ControlMetrics } from './metrics/control-metrics.ts';
import type { PolicyDesk } from './policy/policy.ts';
import { openProvisioners, type Provisioners } from './provision/provisioners.ts';
import { SecretFolder } from './provision/secrets.ts';
import { CatalogKeeper } from './queries/catalog-keeper.ts';
import { TailKeeper } from './queries/tail-keeper.ts';
import { RecycleBin } from './recycle/recycle-bin.ts';
import { StateDatabase } from './state/database.ts';

/** Which parts of the control plane a process runs. */
export interface ControlRoles {
  readonly workers: boolean;
  readonly scheduler: boolean;
}

/** The control plane of a host: what API, command line and workers share. */
export interface Control extends AsyncDisposable {
  readonly workspace: Workspace;
  /** The catalog of the workspace, read anew when it is older than who asks wants. */
  readonly fresh: CatalogKeeper;
  /** The same with what the archiver has not shipped yet. */
  readonly tail: TailKeeper;
  readonly jobs: JobDesk;
  /** When backups are made, and how long they are kept. */
  readonly policy: PolicyDesk;
  readonly audit: Audit;
  /** Released instances. */
  readonly recycle: RecycleBin;
  /** Where servers for clones come from. */
  readonly provisioners: Provisioners;
  /** Passwords and certificates that requests name. */
  readonly secrets: SecretFolder;
  /** Jobs, audit and what else is kept on this host. */
  readonly state: StateDatabase;
  /** Counts nothing before its `begin`. */
  readonly metrics: ControlMetrics;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Runs workers and the other parts until the signal. */
  run(signal: AbortSignal, roles: ControlRoles): Promise<void>;
}

/** What a control plane is opened with. */
export interface ControlOptions {
  readonly configPath: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** How often workers look, and when one counts as dead. */
  readonly timing?: RunnerTiming;
}

/** Opens the control plane of a host; nothing runs before `run`. */
export async function openControl(options: ControlOptions): Promise<Control> {
  const { configPath, clock, random, logger, timing } = options;
  const timers = { repo: new LateMeter(), kms: new LateMeter() };
  const workspace = await Workspace.open({
    configPath,
    through: (store, keys) => ({
      store: timedStore(store, timers.repo),
      keys: timedKeys(keys, timers.kms),
    }),
  });
  const state = StateDatabase.open({
    path: join(workspace.config.stateDir, 'control.db'),
    ...{ clock, logger },
  });
  const audit = new Audit(state, clock);
  const rows = new JobRows(state);
  const secrets = new SecretFolder(workspace.config);
  const digestKey = (): Promise<Buffer> => secrets.digestKey(random);
  const jobs = new LocalJobDesk({ rows, audit, clock, random, digestKey });
  const { useHandlers } = await import('./handlers/use-handlers.ts');
  const { useCloneHandlers } = await import('./clone/use-clone-handlers.ts');
  useHandlers(jobs, { workspace, secrets, clock, random, logger });
  const provisioners = openProvisioners(workspace.config, { clock, random });
  const warn = (error: string): void => logger.warn('recycle', { error });
  const recycle = new RecycleBin({ workspace, audit, clock, random, warn, state });
  useCloneHandlers(jobs, { workspace, provisioners, recycle, audit, clock, random });
  const over = new AbortController();
  const fresh = new CatalogKeeper({ workspace, clock, signal: over.signal });
  const { rollMaxAgeMs } = workspace.config.limits;
  const tail = new TailKeeper({ workspace, fresh, rollMaxAgeMs, clock, signal: over.signal });
  // With it comes the library of times and zones.
  const { openPolicy } = await import('./policy/open-policy.ts');
  const policies = openPolicy({ workspace, fresh, state, jobs, audit, clock, random, logger });
  const policy = policies.desk;
  const numbers = { policy: policies.numbers, timers };
  const metrics = new ControlMetrics({
    ...{ workspace, jobs, state, fresh, recycle, clock, logger },
    ...numbers,
  });
  return {
    ...{
      workspace,
      fresh,
      tail,
      jobs,
      policy,
      audit,
      recycle,
      provisioners,
      secrets,
      state,
      metrics,
      clock,
      random,
      logger,
    },
    run: async (signal, roles) => {
      const captures = new CaptureWatch(workspace, clock);
      const { left } = captures;
      await Promise.all([
        captures.run(signal),
        jobs.news.wait(2 ** 31 - 1, signal),
        followConfig({ workspace, logger }, signal),
        keepRebuilt({ workspace, rows, audit, clock, logger }, signal),
        takeBackLeft({ workspace, desk: jobs, rows, clock, random, logger }, signal),
        ...(roles.workers
          ? [
              runWorker(
                { workspace, desk: jobs, rows, audit, clock, random, logger, timing, left },
                signal,
              ),
            ]
          : []),
        ...(roles.scheduler ? [policies.scheduler.run(signal), recycle.run(signal)] : []),
        ...(roles.scheduler
          ? [watchHosts({ workspace, metrics, clock, random, logger }, signal)]
          : []),
        runFleet({ workspace, state, jobs, rows, clock, random, logger, captures }, roles, signal),
      ]);
    },
    [Symbol.asyncDispose]: async () => {
      over.abort(new Error('the control plane is closed'));
      state[Symbol.dispose]();
      workspace[Symbol.dispose]();
      return Promise.resolve();
    },
  };
}
