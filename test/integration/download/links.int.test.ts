import { join } from 'node:path';
import { createKeyRing } from '@tidemark/crypto';
import { openStore } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import { expect, it } from 'vitest';
import { openControl } from '@tidemark/control';
import { describeBackups } from '../../../services/control/src/compat/backup-actions.ts';
import { CompatParams } from '../../../services/control/src/compat/compat-params.ts';
import { standingClock } from '../../support/crypto-ports.ts';
import { buildTinyArchive, TINY_INSTANCE } from '../../support/damage/tiny-archive.ts';
import { ALICE, QUIET } from '../../support/job-desk.ts';
import { describeWithS3, S3Server } from '../../support/s3-servers.ts';
import { collect } from '../../support/segments.ts';
import { TempDir } from '../../support/temp-dir.ts';
import { runTidemark } from '../../support/tidemark-cli.ts';

interface Links {
  readonly form: string;
  readonly expires: string;
  readonly links: readonly {
    readonly shard: string;
    readonly bytes: number;
    readonly url: string;
  }[];
}

describeWithS3('backup download --url', (kind) => {
  it('gives a link for each shard, to the sealed backup and nothing else, for a time', async () => {
    await using dir = await TempDir.create('tidemark-links-');
    await using server = await S3Server.start({ kind });
    const settings = server.settings({ prefix: 'backups/a' });
    const store = await openStore(settings, { random: systemRandom, clock: systemClock });
    const ring = join(dir.path, 'ring');
    const clock = standingClock(Date.now());
    const keys = await createKeyRing({ dir: ring, random: systemRandom, clock });
    await buildTinyArchive({ store, keys, clock, random: systemRandom });
    const adopt = ['--adopt', `s3://${server.bucket}/backups/a`, '--endpoint', server.endpoint];
    const init = await runTidemark(['init', '--dir', dir.path, ...adopt, '--keyring', ring]);
    expect(init.code, init.err).toBe(0);
    const config = ['-c', join(dir.path, 'tidemark.toml')];
    const { out, err, code } = await runTidemark([
      ...[...config, 'backup', 'download', TINY_INSTANCE, 'bk-1', '--url', '--ttl', '15m'],
      ...['--output', 'json'],
    ]);
    expect(code, err).toBe(0);
    const { form, expires, links } = JSON.parse(out) as Links;
    const [link] = links;
    expect({ form, links: links.length }).toEqual({ form: 'sealed', links: 1 });
    expect(Date.parse(expires) - Date.now()).toBeGreaterThan(14 * 60_000 - 60_000);
    expect(Date.parse(expires) - Date.now()).toBeLessThanOrEqual(15 * 60_000);
    expect(new URL(link!.url).searchParams.get('X-Amz-Expires')).toBe('900');
    const answer = await fetch(link!.url);
    expect(answer.status).toBe(200);
    const given = Buffer.from(await answer.arrayBuffer());
    const key = `v1/instance/${TINY_INSTANCE}/0/w-tiny/rdb/bk-1`;
    expect(given.equals(await collect(store.get(key)))).toBe(true);
    expect(given.length).toBe(link!.bytes);
    expect(given.includes('old:1')).toBe(false);
    const long = ['backup', 'download', TINY_INSTANCE, 'bk-1', '--url', '--ttl', '8d'];
    expect((await runTidemark([...config, ...long])).code).toBe(2);
    await using control = await openControl({
      ...{ configPath: join(dir.path, 'tidemark.toml'), logger: QUIET },
      ...{ clock: systemClock, random: systemRandom },
    });
    const urlFor = async (scopes: readonly ('read' | 'backup')[]): Promise<unknown> => {
      const params = new CompatParams({ InstanceId: TINY_INSTANCE }, ['InstanceId']);
      const signal = AbortSignal.timeout(60_000);
      const call = { params, control, actor: ALICE, scopes, key: undefined, signal };
      const answer = (await describeBackups.run(call)) as {
        readonly Backups: { readonly Backup: readonly { readonly BackupDownloadURL: string }[] };
      };
      return answer.Backups.Backup.at(-1)?.BackupDownloadURL;
    };
    const noted = (): readonly string[] =>
      control.audit.list({ pageSize: 100 }).entries.map(({ action }) => action);
    expect(await urlFor(['read'])).toBe('');
    expect(noted()).not.toContain('backup.download');
    expect(await urlFor(['backup'])).toMatch(/X-Amz-Signature=/);
    expect(noted()).toContain('backup.download');
  });
});
