import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../../support/deploy-files.ts';
import { TempDir } from '../../support/temp-dir.ts';

const run = promisify(execFile);

/** Packages outside of the bundle, native modules among them, do something. */
const PROBE = `
import { createRequire } from 'node:module';
import * as zstd from 'zstd-napi';
import { pino } from 'pino';
const require = createRequire(import.meta.url);
const Database = require('better-sqlite3');
const { answer } = new Database(':memory:').prepare('select 6 * 7 as answer').get();
const text = zstd.decompress(zstd.compress(Buffer.from('history'))).toString();
pino({ enabled: false }).info('no line');
const [s3, kms, presigner, http] = await Promise.all([
  import('@aws-sdk/client-s3'),
  import('@aws-sdk/client-kms'),
  import('@aws-sdk/s3-request-presigner'),
  import('@smithy/node-http-handler'),
]);
await new s3.S3Client({ region: 'eu-central-1' }).config.credentials().catch(() => null);
console.log(answer, text, typeof kms.KMSClient, typeof presigner.getSignedUrl, typeof http.NodeHttpHandler);
`;

describe('the files of the image', () => {
  it('are enough to run, without sources, types and what only builds', async () => {
    await using temp = await TempDir.create('tidemark-image-');
    const out = join(temp.path, 'out');
    await run(process.execPath, [join(ROOT, 'scripts/image-files.mjs'), out]);
    const cli = join(out, 'services/cli');
    // Nothing of this machine helps: no credentials, and no service that would give any.
    const env = {
      ...{ PATH: process.env.PATH, HOME: temp.path, AWS_EC2_METADATA_DISABLED: 'true' },
    };
    const probe = join(cli, 'dist/bundle/probe.mjs');
    await writeFile(probe, PROBE);
    const { stdout } = await run(process.execPath, [probe], { env });
    expect(stdout.trim()).toBe('42 history function function function');

    const program = join(cli, 'bin/tidemark.js');
    const dir = join(temp.path, 'place');
    await run(process.execPath, [program, 'init', '--dir', dir], { env });
    const config = ['-c', join(dir, 'tidemark.toml')];
    const listed = await run(process.execPath, [program, ...config, 'instance', 'list'], { env });
    expect(listed.stderr).toBe('');

    const files = readdirSync(out, { recursive: true, encoding: 'utf8' });
    expect(
      files.filter((file) => /(\.ts|\.map|\.c|\.cc|\.cpp|\.o|\.tsbuildinfo)$/.test(file)),
    ).toEqual([]);
    for (const within of ['fastify', 'kafkajs', 'prom-client']) {
      expect(existsSync(join(out, 'node_modules', within)), within).toBe(false);
      expect(existsSync(join(out, 'licenses', within)), within).toBe(true);
    }
  });
});
