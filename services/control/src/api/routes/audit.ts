import { pageToken, readPageToken } from '../pages.ts';
import { auditQuery, AuditList } from '../schemas/audit.ts';
import type { ApiApp, ApiPorts } from '../types.ts';

/** Adds the route that says who asked for what. */
export function addAuditRoutes(app: ApiApp, { control }: ApiPorts): void {
  app.get(
    '/v1/audit',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'listAudit',
        summary: 'Who asked for what on this host, newest first.',
        ...{ tags: ['audit'], querystring: auditQuery },
        response: { 200: { description: 'A page of it.', ...AuditList } },
      },
    },
    ({ query: { pageSize = 50, pageToken: token, instance } }) => {
      const before = token === undefined ? undefined : String(readPageToken(token, 1)[0]);
      const { entries, nextPageToken } = control.audit.list({
        pageSize,
        ...(before === undefined ? {} : { pageToken: before }),
        ...(instance === undefined ? {} : { instance }),
      });
      return {
        entries: entries.map(({ atMs, ...entry }) => ({
          ...entry,
          at: new Date(atMs).toISOString(),
        })),
        nextPageToken: nextPageToken === null ? null : pageToken([Number(nextPageToken)]),
      };
    },
  );
}
