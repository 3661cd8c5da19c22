import { formatSecond } from '@tidemark/workspace';
import { backupPage } from '../../queries/backups.ts';
import { commonWindows } from '../../queries/common-windows.ts';
import { bucketDocuments, stepOf } from '../../queries/window-buckets.ts';
import { meeting, shardWindows, windowsDocument } from '../../queries/windows.ts';
import { wrongField } from '../problem-types.ts';
import { instanceParams } from '../schemas/common.ts';
import { WindowsSchema, windowsQuery } from '../schemas/windows.ts';
import type { ApiApp, ApiPorts } from '../types.ts';
import { asField, secondOf } from './request-tools.ts';

const BACKUPS_SHOWN = 20;

/** Adds the route that says what can be restored. */
export function addWindowRoutes(app: ApiApp, { control, clock }: ApiPorts): void {
  app.get(
    '/v1/instances/:instance/windows',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'getWindows',
        summary: 'The seconds that can be restored, and why others cannot.',
        ...{ tags: ['windows'], params: instanceParams, querystring: windowsQuery },
        response: { 200: { description: 'What can be restored.', ...WindowsSchema } },
      },
    },
    async ({ params: { instance }, query }) => {
      const { start, end, timelines = false, resolution } = query;
      const from = start === undefined ? null : secondOf(start, 'query/start');
      const to = end === undefined ? null : secondOf(end, 'query/end');
      if (from !== null && to !== null && from > to) {
        throw wrongField('query/end', 'lies before start');
      }
      const catalog = await control.tail.look(instance, to);
      const all = shardWindows(catalog, instance);
      const { ranges, gaps } = commonWindows(all);
      const { backups } = backupPage(catalog, instance, {
        ...{ state: 'complete', pageSize: BACKUPS_SHOWN, before: null },
        fromMs: from === null ? null : from * 1000,
        toMs: to === null ? null : to * 1000 + 999,
      });
      const shown = windowsDocument(instance, all, { timelines, pins: null, span: { from, to } });
      const { earliest, latest, provenTo, shards } = shown;
      const nowSecond = Math.floor(clock.nowMs() / 1000);
      return {
        ...{ instance, earliest, latest, provenTo },
        lagSeconds: latest === null ? null : Math.max(0, nowSecond - Date.parse(latest) / 1000 - 1),
        ranges: meeting(ranges, { from, to }).map(times),
        gaps: meeting(gaps, { from, to }).map(times),
        ...(resolution === undefined
          ? {}
          : {
              buckets: asField('query/resolution', () =>
                bucketDocuments(all, { from, to }, { stepSeconds: stepOf(resolution), nowSecond }),
              ),
            }),
        backups: backups.map(({ id, from: first, end: ended }) => ({
          id,
          from: first,
          end: ended,
        })),
        shards,
      };
    },
  );
}

/** The same with times, RFC 3339 UTC. */
function times(range: { readonly from: number; readonly to: number }): object {
  return { ...range, from: formatSecond(range.from), to: formatSecond(range.to) };
}
