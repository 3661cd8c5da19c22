import { endHostServer, hostServer, hostServers, serverDocument } from '@tidemark/control';
import { UsageError } from '@tidemark/core';
import { loadConfig } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { table } from '../output/table.ts';
import { cliActor } from './cli-actor.ts';
import { controlOf } from './run-job.ts';
import { typedConfirmation } from './typed-confirmation.ts';

/** Flags of `servers end` as commander gives them. */
export interface EndFlags {
  readonly data: string;
  readonly confirm?: string;
}

/** Lists the servers that were started on this host, for clones and for restores. */
export async function listServers({ configPath, printer }: Invocation): Promise<void> {
  const found = await hostServers(await loadConfig(configPath));
  const rows = found.map((server) => ({ ...serverDocument(server), dir: server.dir }));
  printer.result({ servers: rows }, () =>
    rows.length === 0
      ? ['no servers were started on this host']
      : table(
          ['NAME', 'OF', 'ADDRESS', 'STATE', 'PID', 'CREATED (UTC)', 'FOLDER'],
          rows.map((row) => [
            ...[row.name, row.instance ?? '-', row.address ?? '-', row.state],
            ...[row.pid?.toString() ?? '-', row.createdAt ?? '-', row.dir],
          ]),
        ),
  );
}

/** Ends one of them. */
export async function endServerCommand(
  name: string,
  { data, confirm }: EndFlags,
  invocation: Invocation,
): Promise<void> {
  const { signal, printer } = invocation;
  if (data !== 'keep' && data !== 'delete') {
    throw new UsageError('TM_USAGE', '--data is keep or delete');
  }
  await using control = await controlOf(invocation);
  const { dir } = await hostServer(name, control.workspace);
  const withData = data === 'delete';
  if (withData) {
    const doom = `all data of the server ${name} will be removed (${dir})`;
    await typedConfirmation(name, doom, confirm, { signal, undone: 'nothing was ended' });
  }
  const server = await endHostServer(name, withData, cliActor(), control);
  printer.result({ ...serverDocument(server), dir, data }, () => [
    server.pid === null ? `${name} did not run` : `${name} has ended`,
    withData ? `its folder is removed: ${dir}` : `its data are in ${dir}`,
  ]);
}
