import type { Config, Workspace } from '@tidemark/workspace';
import { expect, it } from 'vitest';
import { backupHandler } from '../../../services/control/src/handlers/backup.ts';
import type { HandlerPorts } from '../../../services/control/src/handlers/handler-ports.ts';
import type { JobContext } from '../../../services/control/src/jobs/job.ts';
import { findBackupDocuments } from '../../../services/control/src/queries/backups.ts';
import { syncTest } from '../../support/catalog-harness.ts';
import { writeSeconds } from '../../support/retention-run.ts';
import { ARCHIVED, FIRST, TestArchive } from '../../support/test-archive.ts';

const MADE = 'bk-t1-20';
const request = { mode: 'manual', labels: { ticket: 'OPS-1' }, hold: true };

it('a worker killed between a backup and its hold, or its labels, gives both when it goes on', async () => {
  await using archive = await TestArchive.begun();
  const { catalog, ...ports } = await archive.environment();
  const checkpoint = { before: catalog.snapshots(ARCHIVED).map(({ backup }) => backup) };
  // The archiver has made it, and nobody was told.
  await writeSeconds(archive, FIRST, FIRST + 25);
  const { keys, clock, random, signal, stateDir } = ports;
  for (const puts of [0, 1, Infinity]) {
    let left = puts;
    const store = archive.store.through(({ op }) => {
      if (op !== 'put' || --left >= 0) return undefined;
      const before = (): never => {
        throw new Error('killed');
      };
      return { before };
    });
    const sync = (): Promise<number> => syncTest(catalog, archive.store);
    const config = { stateDir } as Config;
    const workspace = { store, keys, catalog, config, sync } as unknown as Workspace;
    const handler = backupHandler({ workspace, clock, random } as HandlerPorts);
    const order = { kind: 'backup', instance: ARCHIVED, actor: { name: 'ops', via: 'token' } };
    const kept = await handler.check({ ...order, request } as never);
    const context = {
      job: { ...order, request: kept },
      ...{ signal, checkpoint, keep: () => Promise.resolve() },
      ...{ progress: () => undefined, log: () => undefined },
    } as unknown as JobContext;
    const ended = handler.run(context);
    if (puts === Infinity) expect(await ended).toMatchObject({ result: { backup: MADE } });
    else await expect(ended).rejects.toThrow('killed');
    await sync();
    expect(findBackupDocuments(catalog, MADE)[0]).toMatchObject({
      ...{ hold: puts > 0, labels: puts > 1 ? { ticket: 'OPS-1' } : {} },
    });
  }
});
