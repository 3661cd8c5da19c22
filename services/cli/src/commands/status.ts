import type { CaptureStatus } from '@tidemark/archiver';
import { Workspace, type Invocation } from '../context.ts';
import { formatBytes, table } from '../output/table.ts';
import { formatSecond } from '../time.ts';

/** Says what is captured, how far behind it is, and what can be restored. */
export async function showStatus(invocation: Invocation): Promise<void> {
  using workspace = await Workspace.open(invocation);
  const answer = (await workspace.askArchiver('status', null, {
    timeoutMs: 5_000,
    signal: invocation.signal,
  })) as { readonly pid: number; readonly captures: readonly CaptureStatus[] } | null;
  await workspace.sync(invocation.signal);
  const instances = workspace.catalog.instances().map(({ iid: known }) => {
    const iid = known ?? '';
    const windows = workspace.catalog.windows(iid);
    const capture = answer?.captures.find(({ instance }) => instance === iid) ?? null;
    const edge = (second: number | null): string | null =>
      second === null ? null : formatSecond(second);
    return {
      instance: iid,
      earliest: edge(windows.earliest),
      latest: edge(windows.latest),
      holes: windows.holes.length,
      backups: workspace.catalog.snapshots(iid).length,
      capture: capture === null ? null : { ...capture, provenTo: edge(capture.provenTo) },
    };
  });
  const document = {
    archiver: answer === null ? null : { pid: answer.pid },
    store: workspace.store.url,
    instances,
  };
  invocation.printer.result(document, () => [
    answer === null ? 'archiver: not running' : `archiver: running (pid ${answer.pid.toString()})`,
    ...(instances.length === 0
      ? ['no instances']
      : table(
          [
            'INSTANCE',
            'STATE',
            'FROM (UTC)',
            'TO (UTC)',
            'HOLES',
            'BACKUPS',
            'LAG',
            'PINS',
            'NOTE',
          ],
          instances.map(({ instance, earliest, latest, holes, backups, capture }) => [
            instance,
            capture?.state ?? 'not captured',
            earliest ?? '-',
            latest ?? '-',
            holes.toString(),
            backups.toString(),
            capture?.lagBytes == null
              ? '-'
              : `${formatBytes(capture.lagBytes)} / ${(capture.lagSeconds ?? 0).toString()} s`,
            capture?.pinClass ?? '-',
            noteOf(capture),
          ]),
        )),
  ]);
}

/** What ails a capture: why there is none, else what it waits for. */
function noteOf(
  capture: Pick<CaptureStatus, 'failure' | 'linkError' | 'storeError'> | null,
): string {
  const failure = capture?.failure ?? null;
  if (failure === null) return capture?.linkError ?? capture?.storeError ?? '';
  const { code, message, hint } = failure;
  return `${code}: ${message}${hint === null ? '' : `; ${hint}`}`;
}
