import { formatSecond } from '@tidemark/workspace';
import { endHostServer } from '../../provision/end-host-server.ts';
import { hostServers, type HostServer } from '../../provision/host-servers.ts';
import { endQuery, ServerList, serverParams, ServerSchema } from '../schemas/servers.ts';
import type { ApiApp, ApiPorts } from '../types.ts';
import { Gate } from './gate.ts';

const tags = ['servers'];
const ENDS_MAX = 4;

/** Adds the routes of servers that were started on this host: of clones and of restores into new ones. */
export function addServerRoutes(app: ApiApp, { control }: ApiPorts): void {
  app.addSchema(ServerSchema);
  const gate = new Gate(ENDS_MAX, 'ends of servers');
  app.get(
    '/v1/servers',
    {
      config: { scope: 'read' },
      schema: {
        ...{ operationId: 'listServers', summary: 'Servers that were started on this host.', tags },
        response: { 200: { description: 'Running or not.', ...ServerList } },
      },
    },
    async () => {
      const found = await hostServers(control.workspace.config);
      return { servers: found.map(serverDocument) };
    },
  );
  app.delete(
    '/v1/servers/:name',
    {
      config: { scope: 'admin', problems: ['busy', 'overloaded'] },
      schema: {
        operationId: 'endServer',
        summary: 'Ends a server that was started on this host.',
        description:
          'Its process ends as by SHUTDOWN. Its data stay in its folder unless `data=delete` is given. One that a job is making, or that is the node of an instance, is left alone.',
        ...{ tags, params: serverParams, querystring: endQuery },
        response: { 200: { description: 'It as it was.', $ref: 'Server#' } },
      },
    },
    async (request) => {
      const { actor, params, query } = request;
      const withData = query.data === 'delete';
      const ended = await gate.through(() => endHostServer(params.name, withData, actor, control));
      return serverDocument(ended);
    },
  );
}

/** A server as API and command line tell of it. */
export interface ServerDocument extends Omit<HostServer, 'id' | 'dir' | 'address' | 'createdMs'> {
  /** `HOST:PORT`. */
  readonly address: string | null;
  readonly tls: boolean;
  /** RFC 3339. */
  readonly createdAt: string | null;
}

/** The document of a server: no path of this host. */
export function serverDocument(server: HostServer): ServerDocument {
  const { name, kind, state, address, pid, job, instance, createdMs } = server;
  const { memoryBytes, residentBytes, passwordRef } = server;
  return {
    ...{ name, kind, state, pid, job, instance, memoryBytes, residentBytes, passwordRef },
    address: address === null ? null : placeText(address),
    tls: address?.tls ?? false,
    createdAt: createdMs === null ? null : formatSecond(Math.floor(createdMs / 1000)),
  };
}

function placeText({ host, port }: NonNullable<HostServer['address']>): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port.toString()}`;
}
