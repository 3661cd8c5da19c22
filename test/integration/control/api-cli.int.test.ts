import { once } from 'node:events';
import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createToken, revokeToken } from '@tidemark/control';
import { systemRandom } from '@tidemark/system';
import { Tidemark } from '../../support/tidemark-cli.ts';

let tidemark: Tidemark;
beforeAll(async () => {
  tidemark = await Tidemark.init([], '', 'ring');
});
afterAll(async () => tidemark[Symbol.asyncDispose]());

/** A service of the command line in a process of its own. */
class Serving {
  readonly #child: ReturnType<Tidemark['spawn']>;
  readonly exited: Promise<number | null>;
  log = '';

  constructor(...args: readonly string[]) {
    this.#child = tidemark.spawn('serve', ...args);
    this.exited = once(this.#child, 'close').then(([code]) => code as number | null);
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.log += text));
  }

  async address(): Promise<string> {
    for (;;) {
      const [, address] = /"address":"(http[^"]+)"/.exec(this.log) ?? [];
      if (address !== undefined) return address;
      if (this.#child.exitCode !== null) throw new Error(`it ended: ${this.log}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async stop(): Promise<number | null> {
    this.#child.kill('SIGTERM');
    return this.exited;
  }
}

it.each(['api', 'all'])(
  'serve %s answers who has a token, and ends with 0 on SIGTERM',
  async (role) => {
    const serving = new Serving(role, '--listen', '127.0.0.1:0');
    try {
      const url = await serving.address();
      const path = join(tidemark.dir, 'tokens');
      const { token } = await createToken(
        path,
        role,
        { scope: 'read', expiresMs: null },
        systemRandom,
      );
      // A machine that is short of time has it turn requests away while it starts.
      const ask = async (): Promise<number> => {
        const headers = { authorization: `Bearer ${token}` };
        for (;;) {
          const { status } = await fetch(`${url}/v1/jobs`, { headers });
          if (status !== 503) return status;
          await new Promise((resolve) => setTimeout(resolve, 200));
        }
      };
      expect(await ask()).toBe(200);
      await revokeToken(path, role);
      expect(await ask()).toBe(401);
      expect(await serving.stop()).toBe(0);
      expect(serving.log).not.toContain(token);
    } finally {
      await serving.stop();
    }
  },
);

it('the token alone is on standard output, so that a script can take it', async () => {
  const { out, err, code } = await tidemark.run(
    'token',
    'create',
    'script',
    '--scope',
    'read,backup',
  );
  expect([code, out]).toEqual([0, expect.stringMatching(/^tidemark_[A-Za-z0-9_-]{43}\n$/)]);
  expect(err).not.toContain(out.trim());
  expect(await readFile(join(tidemark.dir, 'tokens'), 'utf8')).not.toContain(out.trim());
  const { tokens } = await tidemark.json<{ tokens: readonly object[] }>('token', 'list');
  expect(tokens).toEqual([
    {
      ...{ name: 'script', kind: 'token', scopes: ['read', 'backup'], expired: false },
      expiresAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/) as string,
    },
  ]);
  expect(await tidemark.json('token', 'revoke', 'script')).toEqual({ revoked: 'script' });
});

it('an address that is taken, or open to others without tokens, is refused', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  const taken = await tidemark.refused(1, 'serve', 'api', '--listen', `127.0.0.1:${port}`);
  expect([taken.code, taken.context['port']]).toEqual(['TM_LISTEN', port]);
  other.close();
  await appendFile(tidemark.config, '\n[auth]\nmode = "none"\n');
  const refused = await tidemark.refused(2, 'serve', 'api', '--listen', '0.0.0.0:0');
  expect(refused.code).toBe('TM_CONFIG');
});
