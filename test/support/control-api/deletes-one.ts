import { expect } from 'vitest';
import type { Answer } from '../api-run.ts';
import type { RoutesRun } from '../routes-run.ts';

/** Labels, holds and deletes a backup by HTTP alone, and asks for it afterwards in every way. */
export async function deletesOne(run: RoutesRun, iid: string): Promise<void> {
  const one = `/v1/instances/${iid}`;
  const body = { labels: { ticket: 'OPS-1' }, hold: true };
  const job = await run.done(`${one}/backups`, body);
  const { backup: id } = job['result'] as { readonly backup: string };
  const path = `/v1/backups/${id}`;
  const patched = await run.api.ask(path, { method: 'PATCH', body: { labels: { seen: 'yes' } } });
  expect(patched.body, patched.text).toMatchObject({
    shards: [{ id, labels: { seen: 'yes', ticket: 'OPS-1' }, hold: true, deleted: null }],
  });
  const found = await run.api.ask(`${one}/backups?label=${encodeURIComponent('ticket=OPS-1')}`);
  expect(found.body).toMatchObject({ backups: [{ id }] });
  const wrong = await run.api.ask(path, { method: 'PATCH', body: { labels: { 'a b': 'c' } } });
  expect(wrong.status).toBe(422);

  const token = await run.api.tokenOf('labels', 'backup');
  expect((await run.api.ask(path, { method: 'DELETE', token })).status).toBe(403);
  const hold = async (isHeld: boolean, as?: string): Promise<Answer> =>
    run.api.ask(path, { method: 'PATCH', body: { hold: isHeld }, ...(as && { token: as }) });
  expect([(await hold(true, token)).status, (await hold(false, token)).status]).toEqual([200, 403]);
  const held = await run.api.ask(path, { method: 'DELETE' });
  expect([held.status, held.body?.['code']]).toEqual([409, 'TM_BACKUP_HELD']);
  expect((await hold(false)).body).toMatchObject({ shards: [{ id, hold: false }] });
  expect((await hold(false, token)).status).toBe(200); // it is not held
  const dry = await run.api.ask(`${path}?dryRun=true`, { method: 'DELETE' });
  expect(dry.body, dry.text).toMatchObject({ backup: id, dryRun: true, again: false });
  await run.api.ask(path, { method: 'DELETE' });
  const undelete = async (as?: string): Promise<Answer> =>
    run.api.ask(`${path}:undelete`, { method: 'POST', body: {}, ...(as && { token: as }) });
  expect((await undelete(token)).status).toBe(403);
  const back = await undelete();
  expect([back.status, back.body], back.text).toEqual([
    200,
    { backup: id, instance: iid, again: false, revoked: null, goesByAge: false },
  ]);
  expect((await undelete()).body).toMatchObject({ again: true });
  expect((await run.api.ask(path)).body).toMatchObject({ shards: [{ state: 'complete' }] });
  const gone = await run.api.ask(path, { method: 'DELETE' });
  expect(gone.body, gone.text).toMatchObject({ instance: iid, again: false, keptFor: null });
  const again = await run.api.ask(path, { method: 'DELETE' });
  expect([again.status, again.body?.['again']]).toEqual([200, true]);

  const { body: left } = await run.api.ask(`${one}/backups`);
  expect(JSON.stringify(left)).not.toContain(id);
  const { body: deleted } = await run.api.ask(`${one}/backups?state=deleted`);
  expect(deleted).toMatchObject({ backups: [{ id, state: 'deleted' }] });
  expect((await run.api.ask(path)).body).toMatchObject({ shards: [{ state: 'deleted' }] });
  const target_ = { kind: 'new' };
  const restored = await run.post(`${one}/restores`, {
    ...{ restoreType: 'backup', backupId: id, target: target_ },
  });
  expect([restored.status, restored.body?.['code']]).toEqual([404, 'TM_BACKUP_DELETED']);
  const links = await run.api.ask(`${path}:download`, { method: 'POST', body: {} });
  expect([links.status, links.body?.['code']]).toEqual([404, 'TM_BACKUP_DELETED']);
}
