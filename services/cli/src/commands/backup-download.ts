import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { downloadLinks } from '@tidemark/control';
import { UsageError } from '@tidemark/core';
import { downloadBackup, type DownloadRequest } from '@tidemark/restorer';
import { systemClock, systemRandom } from '@tidemark/system';
import { parseDuration, readFrom, withLease, Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { formatBytes, table } from '../output/table.ts';

/** Life of a link when none is asked for. */
const TTL_DEFAULT = '1h';
/** The longest that S3 signs for. */
const TTL_SECONDS_MAX = 7 * 86_400;

/** Flags of `backup download`. */
export interface DownloadFlags {
  readonly out?: string;
  readonly sealed?: boolean;
  readonly url?: boolean;
  readonly ttl?: string;
}

/** Which backup of which instance. */
export interface BackupName {
  readonly instance: string;
  readonly backup: string;
}

/** Writes a backup into files, or prints links to it. */
export async function downloadCommand(
  name: BackupName,
  flags: DownloadFlags,
  invocation: Invocation,
): Promise<void> {
  if (flags.url === true) {
    await printLinks(name, flags, invocation);
    return;
  }
  if (flags.out === undefined) {
    throw new UsageError('TM_USAGE', 'where to? -o FILE or -o FOLDER is missing', {
      hint: 'or --url for links, where the store has them',
    });
  }
  if (flags.ttl !== undefined) throw new UsageError('TM_USAGE', '--ttl goes with --url');
  using workspace = await Workspace.open(invocation);
  const { signal, printer } = invocation;
  await workspace.sync(signal, name.instance);
  const { store, keys, catalog, config } = workspace;
  const { instance, backup } = name;
  const fromSecond = readFrom(catalog, instance, { kind: 'backup', backup });
  const lease = { instance, fromSecond, isLong: true, purpose: 'backup' } as const;
  const request = { ...name, sealed: flags.sealed === true, to: await placeOf(flags.out) };
  const files = await withLease(lease, workspace, invocation.printer, () =>
    downloadBackup(request, {
      ...{ store, keys, catalog, signal, stateDir: config.stateDir, random: systemRandom },
      onProgress: (bytes, total) =>
        printer.progress(`${formatBytes(bytes)} of ${formatBytes(total)}`),
    }),
  );
  const sealed = files.some(({ form }) => form === 'sealed');
  printer.result({ ...name, files }, () => [
    ...files.map(({ path, bytes, form }) => `${path}: ${formatBytes(bytes)}, ${FORMS[form]}`),
    ...(sealed ? ['A sealed backup opens only where it is restored: tidemark restore'] : []),
  ]);
}

const FORMS = { sealed: 'sealed as it lies in the store', rdb: 'RDB, whole and verified' };

/** A folder that is there, or a name that ends as one does, takes a file for each shard. */
async function placeOf(out: string): Promise<DownloadRequest['to']> {
  const path = resolve(out);
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder && (out.endsWith('/') || basename(path) === '')) {
    throw new UsageError('TM_USAGE', `there is no folder ${path}`);
  }
  return { kind: isFolder ? 'folder' : 'file', path };
}

async function printLinks(
  name: BackupName,
  flags: DownloadFlags,
  invocation: Invocation,
): Promise<void> {
  if (flags.out !== undefined) throw new UsageError('TM_USAGE', '--url writes no file: no -o');
  const seconds = ttlOf(flags.ttl ?? TTL_DEFAULT);
  using workspace = await Workspace.open(invocation);
  const { signal, printer } = invocation;
  await workspace.sync(signal, name.instance);
  const document = await downloadLinks(name, seconds, workspace, { clock: systemClock, signal });
  const { expires, links } = document;
  printer.result(document, () => [
    ...table(
      ['SHARD', 'SIZE', 'LINK'],
      links.map(({ shard, bytes, url }) => [shard, formatBytes(bytes), url]),
    ),
    `Until ${expires} at most, and no longer than the credentials that signed them. Each gives the`,
    'sealed backup: it opens only where it is restored (tidemark restore).',
  ]);
}

function ttlOf(text: string): number {
  const seconds = Math.floor(parseDuration(text, '--ttl') / 1000);
  if (seconds >= 1 && seconds <= TTL_SECONDS_MAX) return seconds;
  throw new UsageError('TM_USAGE', `--ttl ${text} is not between 1s and 7d`, {
    context: { seconds, secondsMax: TTL_SECONDS_MAX },
  });
}
