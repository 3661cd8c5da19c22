import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '@tidemark/archiver';
import type { Clock, Random } from '@tidemark/core';
import { loadConfig } from '@tidemark/workspace';
import { Audit } from '../audit/audit.ts';
import { SecretFolder } from '../provision/secrets.ts';
import { StateDatabase } from '../state/database.ts';
import type { JobDesk } from './job.ts';
import { LocalJobDesk } from './job-desk.ts';
import { JobRows } from './job-rows.ts';

/** The desk of a host for who looks or cancels: it opens neither keys nor store, and takes no orders. */
export interface OpenedDesk extends Disposable {
  readonly jobs: Pick<JobDesk, 'get' | 'list' | 'follow' | 'lines' | 'cancel'>;
  /** When a damaged database was made anew the last time; null: never. */
  readonly replacedMs: number | null;
}

/** @throws UsageError `TM_CONFIG`; CatalogError `TM_STATE_DB`. */
export async function openJobDesk(
  configPath: string,
  ports: { readonly clock: Clock; readonly random: Random; readonly logger: Logger },
): Promise<OpenedDesk> {
  const config = await loadConfig(configPath);
  const { stateDir } = config;
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const { clock, random, logger } = ports;
  const state = StateDatabase.open({ path: join(stateDir, 'control.db'), clock, logger });
  const audit = new Audit(state, clock);
  const digestKey = (): Promise<Buffer> => new SecretFolder(config).digestKey(random);
  return {
    jobs: new LocalJobDesk({ rows: new JobRows(state), audit, clock, random, digestKey }),
    replacedMs: state.replacement?.atMs ?? null,
    [Symbol.dispose]: () => state[Symbol.dispose](),
  };
}
