import { pageToken, readPageToken } from '../pages.ts';
import { requireScope } from '../auth.ts';
import type { ApiApp, ApiPorts } from '../types.ts';
import {
  BackupList,
  backupParams,
  BackupPatch,
  BackupRequest,
  BackupSchema,
  BackupShards,
  backupsQuery,
  DeletedBackup,
  deleteQuery,
  DownloadLinks,
  DownloadRequest,
  UndeletedBackup,
} from '../schemas/backups.ts';
import { emptyBody, instanceParams } from '../schemas/common.ts';
import { accepted } from '../schemas/jobs.ts';
import { backupPage, findBackupDocuments, type ListedBackup } from '../../queries/backups.ts';
import { checkLabels, labelBackup } from '../../queries/backup-labels.ts';
import { deleteBackup } from '../../queries/delete-backup.ts';
import { downloadLinks } from '../../queries/download-links.ts';
import { undeleteBackup } from '../../queries/undelete-backup.ts';
import { holdBackup } from '../../queries/hold-backup.ts';
import type { Control } from '../../control.ts';
import { acceptJob } from './job-document.ts';
import { asField, callerSignal, secondOf, workSignal } from './request-tools.ts';

const tags = ['backups'];
const WORK_MS = 30_000;
const TTL_SECONDS = 3600;

/** Adds the routes of backups. */
export function addBackupRoutes(app: ApiApp, ports: ApiPorts): void {
  app.addSchema(BackupSchema);
  addList(app, ports);
  addOne(app, ports);
  addDelete(app, ports);
  addUndelete(app, ports);
  addCreate(app, ports);
  addDownload(app, ports);
}

function addList(app: ApiApp, { control }: ApiPorts): void {
  app.get(
    '/v1/instances/:instance/backups',
    {
      config: { scope: 'read' },
      schema: {
        ...{ operationId: 'listBackups', summary: 'Backups, newest first.', tags },
        ...{ params: instanceParams, querystring: backupsQuery },
        response: { 200: { description: 'A page of backups.', ...BackupList } },
      },
    },
    async ({ params: { instance }, query }) => {
      const { start, end, state = null, label, pageSize = 50, pageToken: token } = query;
      const [startedMs, row] = token === undefined ? [] : readPageToken(token, 2);
      const before =
        startedMs === undefined ? null : { startedMs: Number(startedMs), row: Number(row) };
      const question = {
        fromMs: start === undefined ? null : secondOf(start, 'query/start') * 1000,
        // The whole of the second counts.
        toMs: end === undefined ? null : secondOf(end, 'query/end') * 1000 + 999,
        ...{ state, pageSize, before, labels: label === undefined ? [] : [labelOf(label)] },
      };
      const catalog = await control.fresh.of(instance);
      const { backups, next } = backupPage(catalog, instance, question);
      const nextPageToken = next === null ? null : pageToken([next.startedMs, next.row]);
      return { instance, backups, nextPageToken };
    },
  );
}

function addOne(app: ApiApp, { control, clock, random }: ApiPorts): void {
  const shards = { description: 'The backup, a part for each shard.', ...BackupShards } as const;
  app.get(
    '/v1/backups/:backup',
    {
      config: { scope: 'read' },
      schema: {
        ...{ operationId: 'getBackup', summary: 'One backup.', tags, params: backupParams },
        response: { 200: shards },
      },
    },
    async ({ params }) =>
      shardsDocument(await findFresh(params.backup, control, { deleted: true })),
  );
  app.patch(
    '/v1/backups/:backup',
    {
      config: { scope: 'backup' },
      schema: {
        ...{ operationId: 'updateBackup', summary: 'Changes labels or the hold.', tags },
        description:
          'A backup that is held is kept by retention, and what follows it too, however long that is. Releasing it needs the scope `admin`.',
        ...{ params: backupParams, body: BackupPatch },
        response: { 200: shards },
      },
    },
    async (request) => {
      const { backup } = request.params;
      const { hold, labels } = request.body;
      const shards = await findFresh(backup, control);
      const [{ instance }] = shards;
      // Retention deletes what others had kept by it: less history is kept then.
      if (hold === false && shards.some((one) => one.hold)) requireScope(request, 'admin');
      const change = { clock, random, signal: workSignal(WORK_MS) };
      const { actor } = request;
      const note = { actor, instance, job: null, detail: backup };
      if (labels !== undefined) {
        asField('/labels', () => checkLabels(labels));
        const name = { instance, backup };
        await labelBackup(name, labels, actor.name, control.workspace, change);
        control.audit.append({ ...note, action: 'backup.label' });
      }
      if (hold !== undefined) {
        await holdBackup(backup, hold, control.workspace, change);
        control.audit.append({ ...note, action: hold ? 'backup.hold' : 'backup.release' });
      }
      await control.workspace.sync(change.signal, instance);
      return shardsDocument(findBackupDocuments(control.workspace.catalog, backup));
    },
  );
}

function addDelete(app: ApiApp, { control, clock, random }: ApiPorts): void {
  app.delete(
    '/v1/backups/:backup',
    {
      config: { scope: 'admin', problems: ['refused', 'repo-unavailable'] },
      schema: {
        ...{ operationId: 'deleteBackup', summary: 'Gives a backup up.', tags },
        description:
          'It is listed no more and nothing new is made from it. Seconds that it serves stay restorable; retention deletes its objects, after the grace, once nothing kept needs them. Until that begins it can be taken back.',
        ...{ params: backupParams, querystring: deleteQuery },
        response: { 200: { description: 'What that frees.', ...DeletedBackup } },
      },
    },
    async (request) => {
      const { actor, params, query } = request;
      const { dryRun = false, last = false } = query;
      const { backup } = params;
      const [{ instance }] = await findFresh(backup, control, { deleted: true });
      const signal = workSignal(WORK_MS);
      const done = await deleteBackup(backup, { by: actor.name, last, dryRun }, control.workspace, {
        clock,
        random,
        signal,
      });
      if (!dryRun && !done.again) {
        const note = { actor, instance, job: null, detail: backup };
        control.audit.append({ ...note, action: 'backup.delete' });
        await control.workspace.sync(signal, instance);
      }
      return done;
    },
  );
}

function addUndelete(app: ApiApp, { control, clock, random }: ApiPorts): void {
  app.post(
    '/v1/backups/:backup(^[^/:]+)::undelete',
    {
      config: { scope: 'admin', problems: ['busy', 'repo-unavailable'] },
      schema: {
        ...{ operationId: 'undeleteBackup', summary: 'Takes the deletion of a backup back.', tags },
        description:
          'As long as retention has not begun to delete its objects. A mark of retention that names it is taken back whole; the next run marks the rest anew.',
        ...{ params: backupParams, body: emptyBody },
        response: { 200: { description: 'It is there again.', ...UndeletedBackup } },
      },
    },
    async (request) => {
      const { actor, params } = request;
      const { backup } = params;
      await control.fresh.all();
      const signal = workSignal(WORK_MS);
      const { workspace } = control;
      const done = await undeleteBackup(backup, actor.name, workspace, { clock, random, signal });
      if (!done.again) {
        const note = { actor, instance: done.instance, job: null, detail: backup };
        control.audit.append({ ...note, action: 'backup.undelete' });
      }
      return done;
    },
  );
}

function addCreate(app: ApiApp, { control }: ApiPorts): void {
  app.post(
    '/v1/instances/:instance/backups',
    {
      config: {
        ...{ scope: 'backup', idempotent: true },
        problems: ['backup-in-progress', 'archiver-unavailable'],
      },
      schema: {
        ...{ operationId: 'createBackup', summary: 'Makes a backup now.', tags },
        ...{ params: instanceParams, body: BackupRequest, response: accepted },
      },
    },
    async ({ params: { instance }, body, actor, idempotency }, reply) => {
      await control.fresh.of(instance);
      const { labels, hold = false } = body;
      if (labels !== undefined) asField('/labels', () => checkLabels(labels));
      const request = { ...(labels !== undefined && { labels }), ...(hold && { hold }) };
      const order = { kind: 'backup', instance, request, actor } as const;
      return acceptJob(reply, await control.jobs.submit(order, idempotency ?? undefined));
    },
  );
}

function addDownload(app: ApiApp, { control, clock }: ApiPorts): void {
  app.post(
    '/v1/backups/:backup(^[^/:]+)::download',
    {
      config: { scope: 'backup' },
      schema: {
        ...{ operationId: 'downloadBackup', summary: 'Links to a backup, for a while.', tags },
        description:
          'They give the sealed backup: ciphertext that opens only where it is restored. Needs an S3 store.',
        ...{ params: backupParams, body: DownloadRequest },
        response: { 200: { description: 'A link for each shard.', ...DownloadLinks } },
      },
    },
    async (request) => {
      const { backup } = request.params;
      const [{ instance }] = await findFresh(backup, control);
      const signal = callerSignal(request, WORK_MS);
      const seconds = request.body.ttlSeconds ?? TTL_SECONDS;
      const { workspace } = control;
      const links = await downloadLinks({ instance, backup }, seconds, workspace, {
        clock,
        signal,
      });
      const note = { actor: request.actor, instance, job: null, detail: backup };
      control.audit.append({ ...note, action: 'backup.download' });
      return links;
    },
  );
}

/** A backup that is not known yet may be on another host's account: then everything is read. */
async function findFresh(
  backup: string,
  { fresh, workspace }: Pick<Control, 'fresh' | 'workspace'>,
  options: { readonly deleted?: boolean } = {},
): Promise<readonly [ListedBackup, ...ListedBackup[]]> {
  const [known] = workspace.catalog.backupNamed(backup);
  const catalog = await (known === undefined ? fresh.all() : fresh.of(known.object.iid));
  return findBackupDocuments(catalog, backup, options);
}

function labelOf(text: string): { readonly key: string; readonly value: string } {
  const at = text.indexOf('=');
  return { key: text.slice(0, at), value: text.slice(at + 1) };
}

function shardsDocument(shards: readonly ListedBackup[]): {
  readonly id: string;
  readonly instance: string;
  readonly shards: readonly ListedBackup[];
} {
  const [{ id, instance } = { id: '', instance: '' }] = shards;
  return { id, instance, shards };
}
