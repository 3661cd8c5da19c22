import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FaultProxy } from '../../support/fault-proxy.ts';
import {
  editJson,
  ignoredRange,
  kmsError,
  s3Error,
  wrongRange,
  type Fault,
} from '../../support/fault-proxy-faults.ts';

/** Keeps what is put, gives back ranges, and answers in JSON at `/kms`. */
class SmallServer {
  readonly objects = new Map<string, Buffer>();
  readonly hosts: string[] = [];
  puts = 0;
  /** Requests whose body ended before it was whole. */
  cut = 0;
  readonly server: Server = createServer((request, answer) => {
    const path = request.url ?? '';
    this.hosts.push(request.headers.host ?? '');
    const parts: Buffer[] = [];
    request.on('aborted', () => (this.cut += 1));
    request.on('error', () => undefined);
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      if (request.method === 'PUT') {
        this.puts += 1;
        this.objects.set(path, Buffer.concat(parts));
        answer.end();
        return;
      }
      if (path === '/kms') {
        answer.end(JSON.stringify({ KeyId: 'one', Plaintext: 'p' }));
        return;
      }
      const whole = this.objects.get(path);
      if (whole === undefined) {
        answer.writeHead(404).end();
        return;
      }
      const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
      if (range === null) {
        answer.writeHead(200, { 'content-length': String(whole.length) }).end(whole);
        return;
      }
      const [from, to] = [Number(range[1]), Number(range[2])];
      const body = whole.subarray(from, to + 1);
      const where = `bytes ${from}-${to}/${whole.length}`;
      answer.writeHead(206, { 'content-range': where, 'content-length': body.length }).end(body);
    });
  });
}

const BODY = Buffer.from('0123456789'.repeat(2_000));

describe('fault proxy', () => {
  let small: SmallServer;
  let proxy: FaultProxy;

  beforeEach(async () => {
    small = new SmallServer();
    await new Promise<void>((resolve) => small.server.listen(0, '127.0.0.1', resolve));
    proxy = await FaultProxy.start(
      `http://127.0.0.1:${(small.server.address() as AddressInfo).port}`,
    );
    small.objects.set('/a', BODY);
  });
  afterEach(async () => {
    await proxy[Symbol.asyncDispose]();
    small.server.closeAllConnections();
    await new Promise<void>((resolve) => small.server.close(() => resolve()));
  });

  const get = async (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${proxy.url}${path}`, { headers });
  const put = async (path: string): Promise<Response> =>
    fetch(`${proxy.url}${path}`, { method: 'PUT', body: BODY });
  const strike = (fault: Fault, times = 1): void => {
    proxy.rules.push({ match: {}, fault, times });
  };

  it('passes requests and answers on byte for byte, with the host the client named', async () => {
    expect((await put('/b')).status).toBe(200);
    expect(small.objects.get('/b')?.equals(BODY)).toBe(true);
    expect(Buffer.from(await (await get('/b')).arrayBuffer()).equals(BODY)).toBe(true);
    const head = await fetch(`${proxy.url}/b`, { method: 'HEAD' });
    expect(head.headers.get('content-length')).toBe(String(BODY.length));
    const part = await get('/b', { range: 'bytes=3-5' });
    expect([part.status, await part.text()]).toEqual([206, '345']);
    expect(small.hosts.every((host) => `http://${host}` === proxy.url)).toBe(true);
  });

  it('counts requests by method and path', async () => {
    await put('/b');
    await get('/a?list');
    await get('/none');
    expect(proxy.count()).toBe(3);
    expect(proxy.count({ method: 'GET' })).toBe(2);
    expect(proxy.count({ path: /^\/a/ })).toBe(1);
    expect(proxy.requests[0]).toMatchObject({
      ...{ method: 'PUT', path: '/b', target: null, fault: null },
    });
  });

  it('strikes only what matches, only the nth and only so often', async () => {
    const rule = { match: { method: 'GET', path: /a/, nth: 2 }, fault: s3Error(503, 'SlowDown') };
    proxy.rules.push(rule);
    const statuses = [];
    for (const path of ['/a', '/none', '/a', '/a']) statuses.push((await get(path)).status);
    expect(statuses).toEqual([200, 404, 503, 200]);
    expect(proxy.struck(rule)).toBe(1);
    strike(s3Error(500, 'InternalError'), 2);
    const later = [];
    for (let at = 0; at < 3; at++) later.push((await get('/a')).status);
    expect(later).toEqual([500, 500, 200]);
  });

  it('names the operation of KMS and refuses it alone', async () => {
    proxy.rules.push({
      match: { target: /Decrypt$/ },
      fault: kmsError('AccessDeniedException'),
      times: Infinity,
    });
    const call = async (operation: string): Promise<Response> =>
      fetch(`${proxy.url}/kms`, {
        method: 'POST',
        headers: { 'x-amz-target': `TrentService.${operation}` },
      });
    const refused = await call('Decrypt');
    expect([refused.status, await refused.json()]).toMatchObject([
      400,
      { __type: 'AccessDeniedException' },
    ]);
    expect((await call('Encrypt')).status).toBe(200);
    strike(editJson({ KeyId: 'another' }));
    expect(await (await call('Encrypt')).json()).toEqual({ KeyId: 'another', Plaintext: 'p' });
    expect(proxy.count({ target: /Encrypt/ })).toBe(2);
  });

  it('an error may come before the request is done, or after', async () => {
    strike(s3Error(500, 'InternalError'));
    expect((await put('/b')).status).toBe(500);
    expect(small.puts).toBe(0);
    strike(s3Error(200, 'InternalError', { apply: true }));
    const said = await put('/b');
    expect([said.status, await said.text()]).toEqual([200, expect.stringContaining('<Error>')]);
    expect(small.puts).toBe(1);
  });

  it('cuts a connection before the request is done, or after', async () => {
    strike({ kind: 'reset', apply: false });
    await expect(put('/b')).rejects.toThrow();
    expect(small.puts).toBe(0);
    strike({ kind: 'reset', apply: true });
    await expect(put('/b')).rejects.toThrow();
    expect(small.puts).toBe(1);
  });

  it('does not answer, though the request is done', async () => {
    strike({ kind: 'silent', apply: true });
    const patience = new AbortController();
    const asked = fetch(`${proxy.url}/b`, { method: 'PUT', body: BODY, signal: patience.signal });
    let answered = false;
    void asked.then(
      () => (answered = true),
      () => undefined,
    );
    await expect.poll(() => small.puts).toBe(1);
    expect(answered).toBe(false);
    patience.abort();
    await expect(asked).rejects.toThrow();
  });

  it('cuts an answer in half, or passes half on as if it were all', async () => {
    strike({ kind: 'half' });
    await expect(get('/a').then(async (answer) => answer.arrayBuffer())).rejects.toThrow();
    strike({ kind: 'short' });
    expect((await (await get('/a')).arrayBuffer()).byteLength).toBe(BODY.length / 2);
  });

  it('cuts a request in half', async () => {
    strike({ kind: 'half-request' });
    await expect(put('/b')).rejects.toThrow();
    await expect.poll(() => small.cut).toBe(1);
    expect(small.objects.has('/b')).toBe(false);
  });

  it('sends a request twice', async () => {
    strike({ kind: 'duplicate' });
    expect((await put('/b')).status).toBe(200);
    expect(small.puts).toBe(2);
    expect(small.objects.get('/b')?.equals(BODY)).toBe(true);
  });

  it('is slow to begin and slow to send', async () => {
    strike({ kind: 'slow', delayMs: 150, bytesPerSecond: 100_000 });
    const since = performance.now();
    const whole = await (await get('/a')).arrayBuffer();
    expect(whole.byteLength).toBe(BODY.length);
    expect(performance.now() - since).toBeGreaterThan(340);
  });

  it('answers another range, or none', async () => {
    strike(wrongRange());
    const moved = await get('/a', { range: 'bytes=3-5' });
    expect(moved.headers.get('content-range')).toBe('bytes 4-6/20000');
    expect((await moved.text()).slice(0, 2)).toBe('45');
    strike(ignoredRange());
    const ignored = await get('/a', { range: 'bytes=3-5' });
    expect([ignored.status, ignored.headers.get('content-range')]).toEqual([200, null]);
  });

  it('is away for as long as it is told to', async () => {
    const under = get('/a');
    proxy.down = true;
    await Promise.allSettled([under]);
    await expect(get('/a')).rejects.toThrow();
    proxy.down = false;
    expect((await get('/a')).status).toBe(200);
  });
});
