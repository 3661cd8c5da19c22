import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { TidemarkError } from '@tidemark/core';

/** The feeding process with its pipes. */
export type FeederChild = ChildProcessByStdio<Writable, Readable, Readable>;

/**
 * What of the environment goes along: what finds credentials, certificates, proxies and names. The
 * rest could make it write files (`NODE_V8_COVERAGE`) or change what it runs (`NODE_OPTIONS`).
 */
const ENVIRONMENT =
  /^(AWS_\w+|HOME|USER|PATH|TZ|LANG|LC_\w+|TMPDIR|NODE_EXTRA_CA_CERTS|SSL_CERT_(FILE|DIR)|(HTTPS?|NO|ALL)_PROXY)$/i;

/**
 * Starts the feeding process: without core files, in a session of its own so that Ctrl-C reaches the
 * restore alone, and without the right to write files.
 * @param mayRun - It may run programs: settings of AWS can name one that gives the credentials.
 */
export function spawnFeeder({ mayRun }: { readonly mayRun: boolean }): FeederChild {
  const words = [...flags(mayRun), programPath()];
  return spawn('/bin/sh', ['-c', 'ulimit -c 0; exec "$0" "$@"', process.execPath, ...words], {
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: Object.fromEntries(Object.entries(process.env).filter(([name]) => ENVIRONMENT.test(name))),
  });
}

/** Node's permission model denies every write; it has changed its name and has learned of sockets. */
function flags(mayRun: boolean): readonly string[] {
  const known = process.allowedNodeEnvironmentFlags;
  const permission = known.has('--permission') ? '--permission' : '--experimental-permission';
  return [
    // As for the command itself: less memory by a fifth, for no more time.
    '--semi-space-growth-factor=1',
    '--no-warnings',
    permission,
    '--allow-fs-read=*',
    '--allow-addons',
    ...(known.has('--allow-net') ? ['--allow-net'] : []),
    ...(mayRun ? ['--allow-child-process'] : []),
  ];
}

/** Beside a bundle, else as it was compiled; sources borrow what was compiled of them. */
function programPath(): string {
  const fromSource = new URL(import.meta.url).pathname.endsWith('.ts');
  const places = fromSource ? ['../../../dist/main.js'] : ['./feeder-main.js', '../../main.js'];
  for (const place of places) {
    const path = fileURLToPath(new URL(place, import.meta.url));
    if (existsSync(path)) return path;
  }
  throw new TidemarkError('TM_INTERNAL', 'the feeding process is not built', {
    hint: 'run "npx tsc -b services/restorer" first',
  });
}
