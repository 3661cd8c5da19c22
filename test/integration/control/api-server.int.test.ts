import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { revokeToken } from '@tidemark/control';
import { systemClock } from '@tidemark/system';
import { canonicalJson } from '../../../services/control/src/api/canonical-json.ts';
import { ProblemSchema } from '../../../services/control/src/api/problem.ts';
import { ApiRun, type Answer } from '../../support/api-run.ts';
import { Trial } from '../../support/api-trial-routes.ts';
import { schemaFault } from '../../support/json-schema.ts';
import { RawHttp } from '../../support/raw-http.ts';

const HOUR_MS = 3_600_000;

/** That an answer is a problem as it is documented. */
function expectProblem(answer: Answer, status: number, name: string): void {
  expect([answer.status, answer.body?.['type']]).toEqual([status, `urn:tidemark:problem:${name}`]);
  expect(answer.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
  expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
  expect(answer.headers.get('x-request-id')).not.toBeNull();
  expect([schemaFault(ProblemSchema, answer.body), answer.body?.['status']]).toEqual([
    null,
    status,
  ]);
}

describe('the server of the API', () => {
  const trial = new Trial();
  let shiftMs = 0;
  let run: ApiRun;
  beforeAll(async () => {
    const clock = { ...systemClock, nowMs: () => Date.now() + shiftMs };
    const limits = {
      refusalsPerMinute: 1000,
      handlerMs: 1000,
      requestsPerMinute: 100_000,
      eventLoopMs: 60_000,
      heartbeatMs: 100,
    };
    run = await ApiRun.start({ routes: trial.routes, clock, limits });
  });
  afterAll(async () => run[Symbol.asyncDispose]());

  it('answers whatever is not done with a problem of a stable type', async () => {
    const post = { method: 'POST', headers: { 'idempotency-key': 'p' } };
    expectProblem(await run.ask('/nowhere'), 404, 'not-found');
    for (const path of ['//', '///x?y', '/\\']) {
      expectProblem(await run.ask(path, { token: null }), 404, 'not-found');
    }
    const other = await run.ask('/t/list', { method: 'PUT', body: {} });
    expectProblem(other, 405, 'method-not-allowed');
    expect(other.headers.get('allow')).toBe('GET');
    expectProblem(await run.ask('/t/%zz'), 400, 'bad-request');
    const large = { name: 'x'.repeat(300_000) };
    expectProblem(await run.ask('/t/things', { ...post, body: large }), 413, 'body-too-large');
    const text = {
      ...post,
      body: 'name=x',
      headers: { ...post.headers, 'content-type': 'text/plain' },
    };
    expectProblem(await run.ask('/t/things', text), 415, 'unsupported-media-type');
    expectProblem(await run.ask('/t/things', { ...post, body: '' }), 422, 'validation');
    for (const body of ['{', ' ', '{"__proto__":{}}', '\u0000']) {
      expectProblem(await run.ask('/t/things', { ...post, body }), 400, 'bad-request');
    }
    expectProblem(await run.ask('/t/never'), 503, 'unavailable');
  });

  it('names every field that is wrong', async () => {
    const wrong = { size: '3', colour: 'red', tags: ['a', 7] };
    const answer = await run.ask('/t/things', { method: 'POST', body: wrong });
    expectProblem(answer, 422, 'validation');
    const errors = answer.body?.['errors'] as readonly { readonly pointer: string }[];
    expect(errors.map(({ pointer }) => pointer).sort()).toEqual([
      '/colour',
      '/name',
      '/size',
      '/tags/1',
    ]);
    const query = await run.ask('/t/list?size=3x&unknown=1');
    expectProblem(query, 400, 'bad-request');
    expect(
      (query.body?.['errors'] as readonly { pointer: string }[])
        .map(({ pointer }) => pointer)
        .sort(),
    ).toEqual(['query/size', 'query/unknown']);
    expect((await run.ask('/t/list?size=20&all=true')).body).toEqual({ size: 20, all: true });
  });

  it('tells of a fault of its own only in its log, under the trace of the answer', async () => {
    const answer = await run.ask('/t/fault', { headers: { 'x-request-id': 'my-1' } });
    expectProblem(answer, 500, 'internal');
    expect(answer.text).not.toContain('cart');
    expect(answer.headers.get('x-request-id')).toBe('my-1');
    const traceId = answer.body?.['traceId'];
    const lines = run.log.filter((line) => line['traceId'] === traceId);
    expect(lines.map(({ msg }) => msg)).toEqual(['a request failed', 'request']);
    expect(lines[1]).toMatchObject({
      requestId: 'my-1',
      route: '/t/fault',
      status: 500,
      via: 'token',
    });
    expect(JSON.stringify(run.log)).not.toContain(run.token);
  });

  it('lets in only who has a token that is known, valid and wide enough', async () => {
    const ends = Date.now() + HOUR_MS;
    const reader = await run.tokenOf('reader', 'read', ends);
    expect((await run.ask('/t/list', { token: reader })).status).toBe(200);
    const none = await run.ask('/t/list', { token: null });
    expectProblem(none, 401, 'unauthenticated');
    expect(none.headers.get('www-authenticate')).toBe('Bearer realm="tidemark"');
    for (const token of [`${reader}x`, reader.slice(1), 'Basic', 'x'.repeat(600)]) {
      expectProblem(await run.ask('/t/list', { token }), 401, 'unauthenticated');
    }
    const post = {
      method: 'POST',
      token: reader,
      body: { name: 'a' },
      headers: { 'idempotency-key': 's' },
    };
    const narrow = await run.ask('/t/things', post);
    expectProblem(narrow, 403, 'forbidden');
    expect(narrow.headers.get('www-authenticate')).toContain('scope="backup"');
    shiftMs = 2 * HOUR_MS;
    const expired = await run.ask('/t/list', { token: reader });
    shiftMs = 0;
    expectProblem(expired, 401, 'unauthenticated');
    await revokeToken(join(run.tidemark.dir, 'tokens'), 'reader');
    expectProblem(await run.ask('/t/list', { token: reader }), 401, 'unauthenticated');
  });

  it('begins work once for a key, and answers it alike for a day', async () => {
    const begun = trial.begun;
    const ask = (key: string | null, body: unknown): Promise<Answer> =>
      run.ask('/t/things', {
        ...{ method: 'POST', body },
        headers: key === null ? {} : { 'idempotency-key': key },
      });
    expectProblem(await ask(null, { name: 'a' }), 400, 'idempotency-key-missing');
    const digests = (): readonly { digest: string }[] =>
      run.control.state.read(() =>
        run.control.state.query<{ digest: string }>('SELECT digest FROM answers').all(),
      );
    expectProblem(await ask('k'.repeat(129), { name: 'a' }), 400, 'bad-request');
    expectProblem(await ask('k1', {}), 422, 'validation'); // uses up no key
    const first = await ask('k1', { name: 'a', size: 1 });
    const again = await ask('k1', { size: 1, name: 'a' });
    expect([first.status, again.status, again.text]).toEqual([202, 202, first.text]);
    expect(again.headers.get('location')).toBe(first.headers.get('location'));
    const plain = canonicalJson(['POST', '/t/things', { name: 'a', size: 1 }]);
    const open = createHash('sha256').update(plain).digest('hex');
    expect(digests().map(({ digest }) => digest)).not.toContain(open);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expectProblem(await ask('k1', { name: 'b' }), 422, 'idempotency-mismatch');
    expectProblem(await ask('k2', { name: 'refused' }), 404, 'not-found');
    expectProblem(await ask('k2', { name: 'refused' }), 404, 'not-found'); // begun anew
    expect(trial.begun).toBe(begun + 3);
    const other = await run.tokenOf('other', 'backup');
    const theirs = await run.ask('/t/things', {
      ...{
        method: 'POST',
        body: { name: 'b' },
        token: other,
        headers: { 'idempotency-key': 'k1' },
      },
    });
    expect(theirs.status).toBe(202);
    shiftMs = 24 * HOUR_MS + 1000;
    const nextDay = await ask('k1', { name: 'b' });
    shiftMs = 0;
    expect([nextDay.status, nextDay.headers.get('idempotency-replayed')]).toEqual([202, null]);
  });

  it('refuses a key whose request is being answered', async () => {
    trial.close();
    const slow = (): Promise<Answer> =>
      run.ask('/t/things', {
        ...{ method: 'POST', body: { name: 'slow' }, headers: { 'idempotency-key': 'slow' } },
      });
    const begun = trial.begun;
    const first = slow();
    while (trial.begun === begun) await new Promise((resolve) => setTimeout(resolve, 5));
    expectProblem(await slow(), 409, 'idempotency-conflict');
    trial.open();
    expect((await first).status).toBe(202);
    expect((await slow()).headers.get('idempotency-replayed')).toBe('true');
    expect(trial.begun).toBe(begun + 1);
  });

  it('sends events from the one after the last that was seen', async () => {
    const stream = await fetch(`${run.url}/t/events`, {
      headers: { authorization: `Bearer ${run.token}`, 'last-event-id': '3' },
    });
    expect(stream.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    let text = '';
    const decoder = new TextDecoder();
    for await (const chunk of stream.body!) {
      text += decoder.decode(chunk as Uint8Array, { stream: true });
      if (text.includes('id: 5')) break; // and leaves
    }
    expect(text.split('\n').filter((line) => /^(event|id|data)/.test(line))).toEqual([
      ...['event: step', 'id: 4', 'data: {"id":4}', 'event: step', 'id: 5', 'data: {"id":5}'],
    ]);
  });
});

describe('a server under attack', () => {
  const trial = new Trial();
  let run: ApiRun;
  beforeAll(async () => {
    const limits = { headersMs: 700, requestMs: 1400, idleMs: 2000, checkMs: 100, connections: 40 };
    run = await ApiRun.start({
      routes: trial.routes,
      limits: { ...limits, refusalsPerMinute: 5, requestsPerMinute: 30, eventLoopMs: 60_000 },
    });
  });
  afterAll(async () => run[Symbol.asyncDispose]());

  it('ends requests that come in byte by byte, and goes on answering others', async () => {
    const loris: RawHttp[] = [];
    for (let i = 0; i < 12; i += 1) {
      const socket = await RawHttp.open(run.url);
      loris.push(socket);
      socket.say(i % 2 === 0 ? 'GET /t/open HTTP/1.1\r\nHost: x\r\nX-A: ' : postHead(run.token));
      socket.dribble('a', 150);
    }
    const silent = await RawHttp.open(run.url);
    expect((await run.ask('/t/open')).status).toBe(200);
    await Promise.all([...loris, silent].map(({ closed }) => closed));
    for (const { received } of loris) {
      expect(received).toMatch(/^HTTP\/1\.1 408 /);
      expect(received).toContain('urn:tidemark:problem:request-timeout');
    }
  });

  it('answers what is no HTTP with a problem and closes', async () => {
    using bad = await RawHttp.open(run.url);
    bad.say('\u0016\u0003\u0001 GET\r\n\r\n');
    await bad.closed;
    expect(bad.received).toContain('urn:tidemark:problem:bad-request');
    for (const method of ['CONNECT', 'TRACE', 'PROPFIND', 'BREW']) {
      using odd = await RawHttp.open(run.url);
      odd.say(`${method} /t/open HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      await odd.closed;
      expect(odd.received).not.toMatch(/^HTTP\/1\.1 [25]/);
    }
    using long = await RawHttp.open(run.url);
    long.say(`GET / HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(20_000)}\r\n\r\n`);
    await long.closed;
    expect(long.received).toMatch(/^HTTP\/1\.1 431 /);
  });

  it('takes no more connections than it may', async () => {
    const sockets: RawHttp[] = [];
    for (let i = 0; i < 60; i += 1) sockets.push(await RawHttp.open(run.url));
    const refused = sockets.slice(41).map(({ closed }) => closed);
    await Promise.all(refused);
    for (const socket of sockets) socket.socket.destroy();
    const { server } = run.api.app;
    const open = (): Promise<number> =>
      new Promise((resolve) => server.getConnections((_, count) => resolve(count)));
    while ((await open()) > 5) await new Promise((resolve) => setTimeout(resolve, 20));
  });

  it('slows down who guesses tokens, and a caller that asks too much', async () => {
    const guesses: number[] = [];
    for (let i = 0; i < 8; i += 1) {
      guesses.push((await run.ask('/t/list', { token: `tidemark_guess${i}` })).status);
    }
    expect(guesses).toEqual([401, 401, 401, 401, 401, 429, 429, 429]);
    const token = await run.tokenOf('asker', 'read');
    const answers: Answer[] = [];
    for (let i = 0; i < 40; i += 1) answers.push(await run.ask('/t/list', { token }));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(30);
    const last = answers.at(-1)!;
    expectProblem(last, 429, 'rate-limited');
    expect(last.headers.get('ratelimit-limit')).toBe('30');
    // Whoever asks for its health is told, however much is asked for at the same address.
    for (let i = 0; i < 40; i += 1) {
      expect((await run.ask('/healthz', { token: null })).status).toBe(200);
    }
    expect(Number(last.headers.get('retry-after'))).toBeGreaterThan(0);
    // One caller is not the other.
    const second = await run.tokenOf('second', 'read');
    expect((await run.ask('/t/list', { token: second })).status).toBe(200);
  });
});

it('a server that goes down answers what runs, ends streams, and keeps the keys of requests', async () => {
  const trial = new Trial();
  const first = await ApiRun.start({ routes: trial.routes, limits: { eventLoopMs: 60_000 } });
  await using tidemark = first.tidemark;
  const asked = { method: 'POST', body: { name: 'slow' }, headers: { 'idempotency-key': 'd' } };
  trial.close();
  const answer = first.ask('/t/things', asked);
  const stream = await fetch(`${first.url}/t/events`, {
    headers: { authorization: `Bearer ${first.token}` },
  });
  while (trial.begun === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const drained = first.api.drain();
  const { hostname, port } = new URL(first.url);
  expect((await stream.text()).includes('id: 5')).toBe(true);
  trial.open();
  expect((await answer).status).toBe(202);
  await drained;
  await expect(RawHttp.open(`http://${hostname}:${port}`)).rejects.toMatchObject({
    code: 'ECONNREFUSED',
  });
  await first.control[Symbol.asyncDispose]();
  await using next = await ApiRun.start({
    routes: trial.routes,
    tidemark,
    limits: { eventLoopMs: 60_000 },
  });
  const again = await next.ask('/t/things', { ...asked, token: first.token });
  expect([again.text, again.headers.get('idempotency-replayed')]).toEqual([
    (await answer).text,
    'true',
  ]);
  expect(trial.begun).toBe(1);
});

it('a server that has too much to do says so, and goes on telling of its health', async () => {
  const trial = new Trial();
  await using run = await ApiRun.start({ routes: trial.routes, limits: { eventLoopMs: 20 } });
  let answer = await run.ask('/t/list');
  while (answer.status === 200) {
    const until = performance.now() + 150;
    while (performance.now() < until); // somebody hogs the process
    answer = await run.ask('/t/list');
  }
  expectProblem(answer, 503, 'overloaded');
  expect(answer.headers.get('retry-after')).toBe('5');
  expect((await run.ask('/t/open')).status).toBe(200);
});

it('without tokens it answers to programs of this host, not to pages of a browser', async () => {
  const trial = new Trial();
  await using run = await ApiRun.start({
    routes: trial.routes,
    settings: '\n[auth]\nmode = "none"\n',
    limits: { eventLoopMs: 60_000 },
  });
  expect((await run.ask('/t/list')).status).toBe(200);
  const { host } = new URL(run.url);
  const page = await run.ask('/t/list', { headers: { origin: 'https://evil.example' } });
  expectProblem(page, 403, 'forbidden');
  expect((await run.ask('/t/list', { headers: { origin: `http://${host}` } })).status).toBe(200);
  using rebound = await RawHttp.open(run.url);
  rebound.say('GET /t/list HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n');
  await rebound.closed;
  expect(rebound.received).toMatch(/^HTTP\/1\.1 403 /);
});

function postHead(token: string): string {
  return [
    'POST /t/things HTTP/1.1\r\nHost: x\r\nIdempotency-Key: z\r\nContent-Type: application/json',
    `Authorization: Bearer ${token}\r\nContent-Length: 5000\r\n\r\n`,
  ].join('\r\n');
}
