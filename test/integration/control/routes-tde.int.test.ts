import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import type { Answer } from '../../support/api-run.ts';
import { RoutesRun } from '../../support/routes-run.ts';
import { iso } from '../../support/tidemark-cli.ts';

const ID = 'vault';
const ONE = `/v1/instances/${ID}`;
const ENABLED_MS = 30_000;

let run: RoutesRun;
let redis: Redis;
let at: number;

/** A call of the managed service's kind. */
function call(
  action: string,
  params: Readonly<Record<string, string>> = {},
  token?: string,
): Promise<Answer> {
  const form = new URLSearchParams({ Action: action, InstanceId: ID, ...params });
  return run.api.ask('/compat/r-kvstore', {
    method: 'POST',
    body: form.toString(),
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    ...(token === undefined ? {} : { token }),
  });
}

beforeAll(async () => {
  run = await RoutesRun.start(ID, '');
  redis = await run.source.connect();
  await redis.mset('pin:1', 'then', 'pin:2', 'then', 'plain', 'then');
  at = Math.floor(Date.now() / 1000);
  await delay(1_100);
  await redis.mset('pin:1', 'now', 'plain', 'now');
  await redis.del('pin:2');
  await run.tidemark.untilProven(ID, Math.floor(Date.now() / 1000));
});

afterAll(async () => {
  await run[Symbol.asyncDispose]();
});

it('a backup, the list of it and the policy in the style of the managed service', async () => {
  const token = randomUUID();
  const first = await call('CreateBackup', { Token: token });
  expect(first.body, first.text).toMatchObject({ BackupJobID: expect.any(String) as string });
  expect((await call('CreateBackup', { Token: token })).body).toMatchObject({
    BackupJobID: first.body?.['BackupJobID'],
  });
  await run.ended(`/v1/jobs/${String(first.body?.['BackupJobID'])}`);
  const listed = await call('DescribeBackups', { StartTime: '2020-01-01T00:00Z', PageSize: '1' });
  expect(listed.body).toMatchObject({
    ...{ PageNumber: 1, PageSize: 1, TotalCount: 2 },
    Backups: {
      Backup: [{ BackupStatus: 'Success', BackupMode: 'Manual', NodeInstanceId: `${ID}-db-0` }],
    },
  });
  const modified = await call('ModifyBackupPolicy', {
    ...{ PreferredBackupPeriod: 'Monday,Friday', PreferredBackupTime: '07:00Z-08:00Z' },
  });
  expect(Object.keys(modified.body ?? {})).toEqual(['RequestId']);
  expect((await call('DescribeBackupPolicy')).body).toMatchObject({
    ...{ PreferredBackupPeriod: 'Monday,Friday', PreferredBackupTime: '07:00Z-08:00Z' },
    ...{ BackupRetentionPeriod: '7', EnableBackupLog: 1 },
  });
});

it('who may make backups keeps no less of the history, and switches no flashback', async () => {
  const token = await run.api.tokenOf('policies', 'backup');
  for (const less of [{ EnableBackupLog: '0' }, { BackupRetentionPeriod: '1' }]) {
    expect((await call('ModifyBackupPolicy', less, token)).body).toMatchObject({
      Code: 'Forbidden.RAM',
    });
  }
  const more = await call('ModifyBackupPolicy', { BackupRetentionPeriod: '8' }, token);
  expect(more.status, more.text).toBe(200);
  expect((await call('DescribeBackupPolicy')).body).toMatchObject({
    ...{ BackupRetentionPeriod: '8', EnableBackupLog: 1 },
  });
});

it('named keys go back into the running instance, and a whole one is refused with the way out', async () => {
  const when = { RestoreType: '1', RestoreTime: iso(at) };
  const answer = await call('RestoreInstance', { ...when, FilterKey: 'pin:*,pin:[12]' });
  expect(answer.status, answer.text).toBe(200);
  const job = await run.ended(`/v1/jobs/${String(answer.body?.['JobId'])}`);
  expect(job).toMatchObject({ kind: 'write-back', state: 'succeeded' });
  expect(await redis.mget('pin:1', 'pin:2', 'plain')).toEqual(['then', 'then', 'now']);
  expect((await call('RestoreInstance', when)).body).toMatchObject({
    Code: 'OperationDenied.WholeInstance',
  });
});

it.each([
  ['NoSuchAction', {}, 404, 'InvalidAction.NotFound'],
  ['DescribeBackups', { InstanceId: 'nobody' }, 404, 'InvalidInstanceId.NotFound'],
  ['DescribeBackups', { InstanceId: '../etc' }, 400, 'InvalidInstanceId.Malformed'],
  ['DescribeBackups', { StartTime: 'yesterday' }, 400, 'InvalidParameter'],
  ['DescribeBackups', { Fancy: '1' }, 400, 'InvalidParameter'],
  ['DescribeBackups', { Format: 'XML' }, 400, 'InvalidParameter'],
  ['RestoreInstance', { RestoreType: '1', FilterKey: 'a' }, 400, 'InvalidParameter'],
  ['RestoreInstance', { RestoreTime: iso(0), FilterKey: 'a' }, 409, 'TimeNotRecoverable'],
  ['ModifyBackupPolicy', { PreferredBackupPeriod: 'Someday' }, 400, 'InvalidParameter'],
  ['ModifyInstanceTDE', { TDEStatus: 'Disabled' }, 409, 'TdeCannotBeDisabled'],
  ['ModifyInstanceTDE', {}, 400, 'MissingParameter'],
  ['CreateInstance', { SrcDBInstanceId: ID, InstanceId: '' }, 400, 'InvalidParameter'],
] as const)('%s with %j is refused as %i %s', async (action, params, status, code) => {
  const answer = await call(action, params);
  expect(answer.body, answer.text).toMatchObject({
    Code: code,
    RequestId: expect.any(String) as string,
  });
  expect(answer.status).toBe(status);
});

it('who may not, and what is only looked at, change nothing', async () => {
  const reader = await run.api.tokenOf('reader', 'read');
  expect((await call('CreateBackup', {}, reader)).body).toMatchObject({ Code: 'Forbidden.RAM' });
  expect((await call('DescribeBackups', {}, reader)).status).toBe(200);
  const link = await run.api.ask(`/compat/r-kvstore?Action=CreateBackup&InstanceId=${ID}`);
  expect(link.body).toMatchObject({ Code: 'UnsupportedHTTPMethod' });
  const loud = await run.api.ask(
    `/compat/r-kvstore?Action=CreateInstance&SrcDBInstanceId=${ID}&Password=Correct-Horse-7`,
    { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: '' },
  );
  expect(loud.body).toMatchObject({
    ...{ Code: 'InvalidParameter', Message: expect.stringMatching(/in the form/) as string },
  });
  expect(loud.text).not.toContain('Correct-Horse-7');
  const open = await run.api.ask(`/compat/r-kvstore?Action=DescribeBackups`, { token: null });
  expect(open.body).toMatchObject({ Code: 'InvalidAccessKeyId.NotFound' });
});

it('TDE goes on for good, once that is confirmed, and never off', async () => {
  expect((await call('DescribeInstanceTDEStatus')).body).toMatchObject({ TDEStatus: 'Disabled' });
  const put = (body: object): Promise<Answer> => run.api.ask(`${ONE}/tde`, { method: 'PUT', body });
  expect((await put({ enabled: true })).body).toMatchObject({
    ...{ status: 422, errors: [{ pointer: '/confirm' }] },
  });
  const roleArn = 'arn:aws:iam::123456789012:role/other';
  const role = await put({ enabled: true, confirm: ID, roleArn });
  expect(role.body).toMatchObject({
    ...{ status: 422, errors: [{ pointer: '/roleArn' }] },
    detail: expect.stringContaining('source_profile') as string,
  });
  expect((await call('CheckCloudResourceAuthorized', { RoleArn: roleArn })).body).toMatchObject({
    Code: 'InvalidParameter',
  });
  // What is switched on for good is in the audit, though who asked has left in between.
  const leaves = new AbortController();
  const { workspace, audit } = run.api.control;
  const ask = workspace.askArchiver.bind(workspace);
  const spy = vi.spyOn(workspace, 'askArchiver').mockImplementation(async (method, ...rest) => {
    if (method === 'rekey') leaves.abort();
    if (method === 'rekey') await delay(300); // until the server has seen it
    return ask(method, ...rest);
  });
  const asked = { method: 'PUT', body: JSON.stringify({ enabled: true, confirm: ID }) };
  const headers = { authorization: `Bearer ${run.api.token}`, 'content-type': 'application/json' };
  const left = fetch(`${run.api.url}${ONE}/tde`, { ...asked, headers, signal: leaves.signal });
  await expect(left).rejects.toThrow();
  await expect
    .poll(() => JSON.stringify(audit.list({ pageSize: 100 })), { timeout: ENABLED_MS })
    .toContain('tde.enable');
  spy.mockRestore();
  const on = await put({ enabled: true, confirm: ID });
  expect(on.body, on.text).toMatchObject({ algorithm: 'AES-256-GCM', mode: 'auto' });
  const deadline = Date.now() + ENABLED_MS;
  for (;;) {
    const { body } = await run.api.ask(`${ONE}/tde`);
    if (body?.['state'] === 'enabled') break;
    expect(body?.['state']).toBe('modifying');
    expect(Date.now()).toBeLessThan(deadline);
    await delay(200);
  }
  // What the API answers with may be a second old.
  const printed = await run.tidemark.json('tde', 'status', ID);
  await expect
    .poll(async () => (await run.api.ask(`${ONE}/tde`)).body, { timeout: ENABLED_MS })
    .toEqual(printed);
  expect((await put({ enabled: false })).body).toMatchObject({
    ...{ status: 409, type: 'urn:tidemark:problem:tde-irreversible' },
  });
  expect((await call('DescribeInstanceTDEStatus')).body).toMatchObject({ TDEStatus: 'Enabled' });
});

it('keys of TDE and the right to use them are told without key material', async () => {
  const { body } = await run.api.ask(`${ONE}/tde/keys`);
  expect(body).toEqual(await run.tidemark.json('tde', 'keys', 'list', ID));
  const [{ keyId } = { keyId: '' }] = body?.['keys'] as { readonly keyId: string }[];
  const one = await run.api.ask(`${ONE}/tde/keys/${encodeURIComponent(keyId)}`);
  expect(one.body).toMatchObject({ keyId, inUse: true, encryptionKeyStatus: 'enabled' });
  const right = await run.api.ask(`${ONE}/tde/authorization`);
  expect(right.body).toMatchObject({ authorizationState: 1, failed: [] });
  const token = await run.api.tokenOf('looker', 'read,backup,restore');
  const named = `${ONE}/tde/authorization?keyId=${encodeURIComponent(keyId)}`;
  expect((await run.api.ask(`${ONE}/tde/authorization`, { token })).status).toBe(200);
  expect((await run.api.ask(named, { token })).status).toBe(403);
  expect((await run.api.ask(named)).body).toMatchObject({ keyId, authorizationState: 1 });
  expect((await call('DescribeEncryptionKeyList')).body).toMatchObject({ KeyIds: [keyId] });
  expect((await call('DescribeEncryptionKey', { EncryptionKey: keyId })).body).toMatchObject({
    ...{ EncryptionKey: keyId, EncryptionKeyStatus: 'Enabled' },
  });
  expect((await call('CheckCloudResourceAuthorized')).body).toMatchObject({
    AuthorizationState: 1,
  });
  const none = await run.api.ask(`${ONE}/tde/keys/no-such-key`);
  expect(none.status, none.text).toBe(404);
  const own = await run.api.ask(`${ONE}/tde/keys/${encodeURIComponent(keyId)}`, { token });
  expect(own.body, own.text).toEqual(one.body);
  expect((await run.api.ask(`${ONE}/tde/keys/no-such-key`, { token })).status).toBe(404);
  const other = await call('DescribeEncryptionKey', { EncryptionKey: 'no-such-key' }, token);
  expect(other.status, other.text).toBe(404);
});

it('data keys are wrapped anew once however often that is asked for, by an administrator only', async () => {
  const path = `${ONE}:rewrap`;
  const token = await run.api.tokenOf('restorer', 'read,backup,restore');
  const headers = { 'idempotency-key': randomUUID() };
  const asked = { method: 'POST', body: {}, headers };
  expect((await run.api.ask(path, { ...asked, token })).status).toBe(403);
  const [first, again] = [await run.api.ask(path, asked), await run.api.ask(path, asked)];
  expect([first.status, again.status], first.text).toEqual([202, 202]);
  expect(again.body?.['id']).toBe(first.body?.['id']);
  const job = await run.ended(first.headers.get('location') ?? '');
  expect(job, JSON.stringify(job)).toMatchObject({ kind: 'rewrap', state: 'succeeded' });
  const { key, keys } = job['result'] as { readonly key: { keyId: string }; keys: number };
  const { body } = await run.api.ask(`${ONE}/tde`);
  expect(key.keyId).toBe(body?.['keyId']);
  expect(keys).toBeGreaterThan(0);
  const other = await run.post(path, { keyId: 'no-such-key' });
  const failed = await run.ended(other.headers.get('location') ?? '');
  expect(failed).toMatchObject({ state: 'failed', problem: { code: 'TM_KEY_MISSING' } });
  const wrong = await run.post(path, { keyId: 7 });
  expect(wrong.body).toMatchObject({ status: 422, errors: [{ pointer: '/keyId' }] });
});

it('what of an instance with TDE is kept no longer is told before it goes', async () => {
  const job = await run.done(`${ONE}:expire`, { dryRun: true });
  expect(job, JSON.stringify(job)).toMatchObject({
    ...{ kind: 'expire', state: 'succeeded', result: { dryRun: true, deleted: null } },
  });
  expect(job['result']).toEqual(await run.tidemark.json('expire', ID, '--dry-run'));
  const reader = await run.api.tokenOf('backups', 'backup');
  const refused = await run.api.ask(`${ONE}:expire`, {
    ...{ method: 'POST', body: {}, token: reader, headers: { 'idempotency-key': 'e' } },
  });
  expect(refused.status).toBe(403);
});

it('of an instance with TDE no name and no value is shown', async () => {
  const body = {
    ...{
      from: { restoreType: 'pointInTime', restoreTime: iso(at) },
      to: { restoreType: 'latest' },
    },
    ...{ filterGlobs: ['plain'] },
  };
  const diff = await run.api.ask(`${ONE}/diffs`, { method: 'POST', body });
  expect(diff.body, diff.text).toMatchObject({
    ...{ masked: true, counts: { changed: 1 } },
    sample: [
      { outcome: 'changed', keyHash: expect.stringMatching(/^hmac:[0-9a-f]{32}$/) as string },
    ],
  });
  expect(diff.text).not.toContain('plain');
  const values = await run.api.ask(`${ONE}/diffs`, {
    ...{ method: 'POST', body: { ...body, values: true } },
  });
  expect(values.body).toMatchObject({ status: 422, errors: [{ pointer: '/values' }] });
  const restore = await run.post(`${ONE}/restores`, {
    ...{ restoreType: 'latest', target: { kind: 'original' }, filterKeys: ['plain'], confirm: ID },
  });
  const job = await run.ended(restore.headers.get('location') ?? '');
  expect(job).toMatchObject({ state: 'failed', problem: { code: 'TM_TDE_DENIED' } });
});
