import { expect, it } from 'vitest';
import { ERROR_CODES, type ErrorCode } from '@tidemark/core';
import { canonicalJson } from '../../../services/control/src/api/canonical-json.ts';
import { etagOf } from '../../../services/control/src/api/etag.ts';
import { KnownPaths } from '../../../services/control/src/api/known-paths.ts';
import { pageOf, pageToken, readPageToken } from '../../../services/control/src/api/pages.ts';
import { problemOf } from '../../../services/control/src/api/problem-codes.ts';
import { PROBLEMS } from '../../../services/control/src/api/problem-types.ts';
import { requestIdOf, traceOf } from '../../../services/control/src/api/trace.ts';

it('equal documents have equal ETags, whatever the order of their names', () => {
  expect(etagOf({ a: 1, b: [{ c: null, d: 'x' }] })).toBe(
    etagOf({ b: [{ d: 'x', c: null }], a: 1 }),
  );
  expect(etagOf({ a: 1 })).not.toBe(etagOf({ a: '1' }));
  expect(etagOf([1, 2])).not.toBe(etagOf([2, 1]));
  expect(etagOf({ a: 1 })).toMatch(/^"[A-Za-z0-9_-]{22}"$/);
});

it('JSON that is nested too deep is refused, not followed', () => {
  let deep: unknown = 1;
  for (let i = 0; i < 100_000; i += 1) deep = [deep];
  expect(() => canonicalJson(deep)).toThrow(RangeError);
});

it('pages have every item once, also when items come and go between them', () => {
  const ids = Array.from({ length: 25 }, (_, i) => `i${i.toString().padStart(2, '0')}`);
  const after = (item: string, id: string): boolean => item > id;
  const seen: string[] = [];
  let list = ids;
  let token: string | null = null;
  do {
    const question = { pageSize: 10, ...(token === null ? {} : { pageToken: token }) };
    const page: ReturnType<typeof pageOf<string>> = pageOf(list, question, (id) => id, after);
    seen.push(...page.items);
    token = page.nextPageToken;
    // The last item of the page goes, and one comes before it.
    list = ['i000', ...list.filter((id) => id !== page.items.at(-1))].sort();
  } while (token !== null);
  expect(seen).toEqual(ids);
});

it.each(['', '%%%', 'bnVsbA', pageToken(['a', 'b']), Buffer.from('[1.5]').toString('base64url')])(
  'a page token that is none is refused: %s',
  (token) => {
    expect(() => readPageToken(token, 1)).toThrow(
      expect.objectContaining({ problem: 'bad-request' }),
    );
  },
);

it('a path that is known under another method is told apart from one that is not', () => {
  const paths = new KnownPaths();
  paths.add({ url: '/v1/jobs/:job', method: 'GET' });
  paths.add({ url: '/v1/jobs/:job(^[^/:]+)::cancel', method: 'POST' });
  paths.add({ url: '/v1/things', method: ['GET', 'POST'] });
  expect(paths.methodsOf('/v1/things')).toEqual(['GET', 'POST']);
  expect(paths.methodsOf('/v1/jobs/job-1:cancel')).toEqual(['GET', 'POST']);
  expect(paths.methodsOf('/v1/jobs/job-1')).toEqual(['GET']);
  expect(paths.methodsOf('/v1/jobs/job-1/x')).toEqual([]);
  expect(paths.methodsOf('/v1xthings')).toEqual([]);
});

it('every code of an error is a problem, and what may pass is never called a fault of the caller', () => {
  for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
    const { status } = PROBLEMS[problemOf(code)];
    const { exit, retryable } = ERROR_CODES[code];
    expect(status).toBeGreaterThanOrEqual(400);
    if (exit === 16) expect([code, status]).toEqual([code, 503]);
    if (exit === 10) expect([code, status]).toEqual([code, 404]);
    if (exit === 14) expect([code, status]).toEqual([code, 500]);
    if (retryable && exit === 1) expect([code, status >= 409]).toEqual([code, true]);
  }
});

it('only ids that may stand in a log are taken from a request', () => {
  const random = { bytes: (count: number) => Buffer.alloc(count, 0xab) };
  const own = 'ab'.repeat(16);
  const given = '4bf92f3577b34da6a3ce929d0e0e4736';
  expect(traceOf({ traceparent: `00-${given}-00f067aa0ba902b7-01` }, random)).toBe(given);
  expect(traceOf({ traceparent: `00-${'0'.repeat(32)}-00f067aa0ba902b7-01` }, random)).toBe(own);
  expect(traceOf({ traceparent: 'x' }, random)).toBe(own);
  expect(requestIdOf({ 'x-request-id': 'a-1.B_2' }, own)).toBe('a-1.B_2');
  expect(requestIdOf({ 'x-request-id': 'a\u001b[2J' }, own)).toBe(own);
  expect(requestIdOf({ 'x-request-id': 'a'.repeat(65) }, own)).toBe(own);
});
