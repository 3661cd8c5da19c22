import { parseVersion, type Info, type NodeClient } from '@tidemark/client';

/** Where a server stands in replication. */
export interface RoleFacts {
  readonly role: 'master' | 'replica';
  readonly runId: string;
  /** Of a replica. */
  readonly masterHost: string | null;
  readonly masterPort: number | null;
  readonly linkUp: boolean;
  readonly replicationId: string;
  /** The id that it followed before it was promoted. */
  readonly formerId: string;
  /** Offset that it has applied. */
  readonly offset: bigint;
  readonly loading: boolean;
}

/** Reads the role of a server. */
export async function readRole(client: NodeClient): Promise<RoleFacts> {
  const info = await client.info('server', 'replication', 'persistence');
  return {
    role: info.get('role') === 'master' ? 'master' : 'replica',
    runId: info.get('run_id') ?? '',
    masterHost: info.get('master_host') ?? null,
    masterPort: info.get('master_port') === undefined ? null : info.number('master_port'),
    linkUp: info.get('master_link_status') === 'up',
    replicationId: info.get('master_replid') ?? '',
    formerId: info.get('master_replid2') ?? '',
    offset: BigInt(info.get('slave_repl_offset') ?? info.get('master_repl_offset') ?? '0'),
    loading: info.flag('loading') || info.flag('async_loading'),
  };
}

/** Comparable version of either product. */
export function parseVersionOf(info: Info): number {
  return parseVersion(info.get('valkey_version') ?? info.get('redis_version') ?? '');
}
