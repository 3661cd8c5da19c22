import { formatSecond } from '@tidemark/workspace';
import { backupDocuments, type BackupDocument } from '../queries/backups.ts';
import { downloadLinks } from '../queries/download-links.ts';
import { knownInstance } from '../queries/known-instance.ts';
import { requirePoint } from '../api/routes/require-point.ts';
import { pointJson } from '../api/routes/restore-order.ts';
import { holds } from '../api/auth.ts';
import type { CompatAction, CompatCall } from './compat-action.ts';
import { CompatError } from './compat-error.ts';
import { pointOfCall, selectorOfCall, shiftOfCall } from './restore-params.ts';

const PAGE_SIZES_MAX = 100;
const LINK_SECONDS = 3600;
/** Ids that one line of the audit has room for. */
const LINKS_A_LINE = 15;

/** `CreateBackup`: starts one. */
export const createBackup: CompatAction = {
  scope: 'backup',
  params: ['InstanceId'],
  run: async ({ params, control, actor, key }) => {
    const instance = params.instance();
    await control.fresh.of(instance);
    const order = { kind: 'backup', instance, request: {}, actor } as const;
    const { id } = await control.jobs.submit(order, key);
    return { BackupJobID: id };
  },
};

/** `DescribeBackups`: the backups that ended within a span. */
export const describeBackups: CompatAction = {
  scope: 'read',
  params: ['InstanceId', 'StartTime', 'EndTime', 'BackupId', 'PageSize', 'PageNumber', 'NeedAof'],
  run: async (call) => {
    const { params, control } = call;
    const instance = params.instance();
    const [from, to] = [params.second('StartTime'), params.second('EndTime')];
    const wanted = params.text('BackupId');
    const size = params.count('PageSize', 30, PAGE_SIZES_MAX);
    const page = params.count('PageNumber', 1, 1_000_000);
    const catalog = await control.fresh.of(instance);
    knownInstance(catalog, instance);
    const found = backupDocuments(catalog, instance)
      .filter(({ id }) => wanted === undefined || id === wanted)
      .filter(({ end }) => from === undefined || Date.parse(end) >= from * 1000)
      .filter(({ end }) => to === undefined || Date.parse(end) <= to * 1000 + 59_999)
      .reverse();
    const shown = found.slice((page - 1) * size, page * size);
    const rows = [];
    for (const row of shown) rows.push(await rowOf(row, instance, call));
    noteLinks(rows, instance, call);
    return {
      ...{ PageNumber: page, PageSize: size, TotalCount: found.length },
      Backups: { Backup: rows },
    };
  },
};

/** A backup as it is shown there, with more of it. */
interface ShownBackup extends Readonly<Record<string, unknown>> {
  readonly BackupId: string;
  /** Empty where there is no link. */
  readonly BackupDownloadURL: string;
}

/** Few lines for many links: one who asks for lists drives nothing out of the audit. */
function noteLinks(
  rows: readonly ShownBackup[],
  instance: string,
  { control: { audit }, actor }: CompatCall,
): void {
  const linked = rows.filter((row) => row.BackupDownloadURL !== '').map((row) => row.BackupId);
  for (let from = 0; from < linked.length; from += LINKS_A_LINE) {
    const detail = linked.slice(from, from + LINKS_A_LINE).join(' ');
    audit.append({ actor, instance, job: null, detail, action: 'backup.download' });
  }
}

async function rowOf(
  row: BackupDocument,
  instance: string,
  { control, scopes, signal }: CompatCall,
): Promise<ShownBackup> {
  const { workspace, clock } = control;
  const named = { instance, backup: row.id };
  // Only S3 stores have links, and who may only look gets none.
  const isLinked =
    workspace.config.store.kind === 's3' && row.state === 'complete' && holds(scopes, 'backup');
  const links = isLinked
    ? await downloadLinks(named, LINK_SECONDS, workspace, { clock, signal })
    : null;
  const url = links?.links.find(({ shard }) => shard === row.shard)?.url ?? '';
  return {
    BackupId: row.id,
    BackupStatus: row.state === 'complete' ? 'Success' : 'Failed',
    BackupMode: row.mode === 'automated' ? 'Automated' : 'Manual',
    BackupType: 'FullBackup',
    BackupMethod: 'Physical',
    BackupSize: row.size,
    BackupStartTime: row.start,
    BackupEndTime: row.end,
    NodeInstanceId: `${instance}-db-${row.shard}`,
    BackupDownloadURL: url,
    BackupIntranetDownloadURL: url,
  };
}

/** `RestoreInstance`: named keys go back into the running instance. */
export const restoreInstance: CompatAction = {
  scope: 'restore',
  params: ['InstanceId', 'BackupId', 'RestoreType', 'RestoreTime', 'FilterKey', 'TimeShift'],
  run: async ({ params, control, actor, key, signal }) => {
    const instance = params.instance();
    const point = pointOfCall(params);
    const selector = selectorOfCall(params);
    if (selector === null) {
      throw new CompatError(
        'OperationDenied.WholeInstance',
        409,
        'a whole instance is not restored over itself: name keys with FilterKey, or make a new instance with CreateInstance and SrcDBInstanceId',
      );
    }
    const ttl = shiftOfCall(params, point, control.clock.nowMs());
    await requirePoint(instance, point, control, signal);
    const request = { point: pointJson(point), selector, ttl: { ...ttl }, onConflict: 'skip' };
    const order = { kind: 'write-back', instance, request, actor } as const;
    const { id } = await control.jobs.submit(order, key);
    return { JobId: id };
  },
};

/** `CreateInstance` with a source: a clone. */
export const createInstance: CompatAction = {
  scope: 'restore',
  params: [
    ...['SrcDBInstanceId', 'BackupId', 'RestoreTime', 'InstanceName', 'Password', 'Port'],
    ...['Capacity', 'ShardCount', 'NodeType', 'InstanceType', 'EngineVersion', 'ChargeType'],
    ...['InstanceClass', 'ZoneId', 'VpcId', 'VSwitchId', 'NetworkType'],
  ],
  run: async ({ params, control, actor, key, signal }) => {
    const instance = params.instance('SrcDBInstanceId');
    const second = params.second('RestoreTime');
    const backup = params.text('BackupId');
    if ((second === undefined) === (backup === undefined)) {
      throw new CompatError('InvalidParameter', 400, 'name one of BackupId and RestoreTime');
    }
    const source =
      backup === undefined
        ? ({ kind: 'second', second: second ?? 0 } as const)
        : ({ kind: 'backup', backup } as const);
    await requirePoint(instance, source, control, signal);
    const name = params.instance('InstanceName');
    const port = params.text('Port') === undefined ? null : params.count('Port', 0, 65_535);
    const megabytes = params.text('Capacity');
    const memory = megabytes === undefined ? null : params.count('Capacity', 0, 16_777_216);
    const password = params.text('Password');
    const request = {
      ...{ source, name, target: { kind: 'local', port } },
      memoryBytes: memory === null ? null : memory * 1024 * 1024,
      shards: params.count('ShardCount', 1, 1024),
      ...(password === undefined ? {} : { password }),
    };
    const { id } = await control.jobs.submit({ kind: 'clone', instance, request, actor }, key);
    const nowSecond = Math.floor(control.clock.nowMs() / 1000);
    return { InstanceId: name, InstanceName: name, JobId: id, CreateTime: formatSecond(nowSecond) };
  },
};
