import { expect, it } from 'vitest';
import { auditDetail } from '../../../services/control/src/jobs/audit-detail.ts';

const url = 'redis://10.1.2.3:6379';

it.each([
  [
    { target: { kind: 'address', url }, point: { kind: 'second', second: 7 }, allowFlush: true },
    `target ${url}, point second 7, flush`,
  ],
  [
    { target: { kind: 'new', port: null }, point: { kind: 'latest' }, allowFlush: false },
    'target new, point latest',
  ],
  [
    { target: { kind: 'local' }, source: { kind: 'backup', backup: 'bk_1' } },
    'target local, point backup bk_1',
  ],
  [{ selector: { include: [{ kind: 'key', key: 'secret' }] } }, ''],
  [{ target: { kind: 'address', url: 'redis://a:Secret-1@h:1' } }, 'target redis://h:1'],
  [{ sealed: 'x' }, ''],
  [null, ''],
])('the audit of %j says %j', (request, detail) => {
  expect(auditDetail(request)).toBe(detail);
});
