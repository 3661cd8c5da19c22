import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { revokeToken } from '@tidemark/control';
import { ApiRun } from '../../support/api-run.ts';
import { Trial } from '../../support/api-trial-routes.ts';
import { RawHttp } from '../../support/raw-http.ts';

describe('streams of events', () => {
  const trial = new Trial();
  let run: ApiRun;
  beforeAll(async () => {
    run = await ApiRun.start({ routes: trial.routes, limits: { heartbeatMs: 100 } });
  });
  afterAll(async () => run[Symbol.asyncDispose]());
  const follow = (token: string, signal?: AbortSignal): Promise<Response> =>
    fetch(`${run.url}/t/events`, {
      headers: { authorization: `Bearer ${token}` },
      ...(signal === undefined ? {} : { signal }),
    });

  it('end once the token of their caller is revoked, and no other', async () => {
    const [stays, goes] = [await run.tokenOf('stays', 'read'), await run.tokenOf('goes', 'read')];
    const over = new AbortController();
    const other = (await follow(stays, over.signal)).body!.getReader();
    const stream = await follow(goes);
    await revokeToken(join(run.tidemark.dir, 'tokens'), 'goes');
    expect(await stream.text()).toContain('id: 5');
    for (let text = ''; !text.includes(': still here');) {
      text += new TextDecoder().decode((await other.read()).value as Uint8Array);
    }
    over.abort();
  });

  it('of callers that left at once do not count', async () => {
    const [token, over] = [await run.tokenOf('hasty', 'read'), new AbortController()];
    const asked = `GET /t/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`;
    for (let times = 0; times < 40; times++) {
      using hasty = await RawHttp.open(run.url);
      await new Promise((resolve) => hasty.socket.write(asked, resolve));
    }
    const isOpen = async (): Promise<boolean> => (await follow(token, over.signal)).ok;
    await expect.poll(isOpen, { timeout: 20_000, interval: 200 }).toBe(true);
    over.abort();
  });

  it('are 16 of one caller at one time', async () => {
    const [token, over] = [await run.tokenOf('many', 'read'), new AbortController()];
    const followed: Response[] = []; // fetch ends an answer that nobody holds any more
    while (followed.length < 16) followed.push(await follow(token, over.signal));
    expect((await follow(token)).status).toBe(503);
    followed.push(await follow(await run.tokenOf('other', 'read'), over.signal));
    expect(followed.every(({ ok }) => ok)).toBe(true);
    over.abort();
  });
});
