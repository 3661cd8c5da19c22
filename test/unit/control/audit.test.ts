import { systemClock } from '@tidemark/system';
import { expect, it } from 'vitest';
import { Audit } from '../../../services/control/src/audit/audit.ts';
import { openDesk } from '../../support/job-desk.ts';
import { TempDir } from '../../support/temp-dir.ts';

it('keeps what is known of others, however much somebody asks for', async () => {
  await using dir = await TempDir.create();
  using desk = openDesk(dir.path, systemClock);
  const audit = new Audit(desk.state, systemClock, { kept: 40, more: 10 });
  const note = (name: string, detail: string): void =>
    audit.append({
      ...{ actor: { name, via: 'token' }, action: 'restore.plan', instance: 'orders', job: null },
      detail,
    });
  for (const at of ['1', '2', '3']) note('alice', at);
  for (let at = 0; at < 200; at++) note('bob', at.toString());
  const { entries } = audit.list({ pageSize: 500 });
  expect(entries.length).toBeGreaterThanOrEqual(40);
  expect(entries.length).toBeLessThan(50);
  const of = (name: string): readonly string[] =>
    entries.filter(({ actor }) => actor.name === name).map(({ detail }) => detail);
  expect(of('alice')).toEqual(['3', '2', '1']);
  // Of his own the newest stay.
  expect(of('bob').slice(0, 30)).toEqual(Array.from({ length: 30 }, (_, at) => `${199 - at}`));
});
