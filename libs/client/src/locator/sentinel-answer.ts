import { hostPortOf, mayBeSame, placeName, type HostPort } from './host-port.ts';

/** A replica as a Sentinel sees it. */
export interface SeenReplica extends HostPort {
  /** Neither down nor disconnected for this Sentinel, and its link to the primary is up. */
  readonly healthy: boolean;
  /** `replica-priority`: 0 is never promoted, else the lowest is promoted first. */
  readonly priority: number;
}

/** Another Sentinel as a Sentinel sees it. */
export interface SeenSentinel extends HostPort {
  readonly id: string | null;
}

/** What one Sentinel says of a set. */
export interface SentinelAnswer {
  /** Its own id; null before 6.2. One Sentinel may be known under two addresses. */
  readonly id: string | null;
  readonly primary: HostPort;
  /** Number of the failover that made it the primary; -1 when the Sentinel does not tell. */
  readonly configEpoch: number;
  /** The node itself told this Sentinel that it is a replica. */
  readonly primaryIsReplica: boolean;
  readonly replicas: readonly SeenReplica[];
  /** The other Sentinels of the set. */
  readonly sentinels: readonly SeenSentinel[];
}

/** Entries that are looked at in a list of a Sentinel. */
const ENTRIES_MAX = 64;

/**
 * Puts together what SENTINEL GET-MASTER-ADDR-BY-NAME, MASTER, REPLICAS, SENTINELS and MYID said; an
 * error in place of any but the first leaves its part unknown.
 *
 * @returns Null when the first names no place.
 * @see redis src/sentinel.c, addReplySentinelRedisInstance (names of the fields)
 */
export function readAnswer(replies: readonly unknown[]): SentinelAnswer | null {
  const [address, master, replicas, sentinels, id] = replies;
  const [host, port] = Array.isArray(address) ? (address as unknown[]) : [];
  const primary = hostPortOf(host, port);
  if (primary === null) return null;
  const fields = fieldsOf(master);
  const same = hostPortOf(fields.ip, fields.port);
  return {
    id: typeof id === 'string' ? id : null,
    primary,
    configEpoch: epochOf(fields['config-epoch']),
    // Of another node, as while a failover goes on, it says nothing about this one.
    primaryIsReplica:
      fields['role-reported'] === 'slave' &&
      same !== null &&
      placeName(same) === placeName(primary),
    replicas: entriesOf(replicas).flatMap((entry) => replicaOf(entry, primary)),
    sentinels: entriesOf(sentinels).flatMap((entry) => {
      const place = hostPortOf(entry.ip, entry.port);
      return place === null ? [] : { ...place, id: entry.runid ?? null };
    }),
  };
}

/** Names in the reply to SENTINEL MASTERS. */
export function masterNames(reply: unknown): string[] {
  return entriesOf(reply).flatMap(({ name }) => name ?? []);
}

type Fields = Readonly<Partial<Record<string, string>>>;

function replicaOf(entry: Fields, primary: HostPort): SeenReplica[] {
  // A capture that announces no port is an entry with port 0, and no node.
  const place = hostPortOf(entry.ip, entry.port);
  if (place === null) return [];
  const flags = (entry.flags ?? '').split(',');
  const down = ['s_down', 'o_down', 'disconnected'].some((flag) => flags.includes(flag));
  const healthy = !down && entry['master-link-status'] === 'ok' && follows(entry, primary);
  return [{ ...place, healthy, priority: priorityOf(entry['slave-priority']) }];
}

/** Whether a replica follows this primary and not one that lost. */
function follows(entry: Fields, primary: HostPort): boolean {
  const master = hostPortOf(entry['master-host'], entry['master-port']);
  return master === null || mayBeSame(master, primary);
}

function epochOf(text: string | undefined): number {
  const epoch = text === undefined ? NaN : Number(text);
  return Number.isSafeInteger(epoch) ? epoch : -1;
}

function priorityOf(text: string | undefined): number {
  const priority = text === undefined ? NaN : Number(text);
  return Number.isSafeInteger(priority) && priority >= 0 ? priority : 100;
}

function entriesOf(reply: unknown): Fields[] {
  return Array.isArray(reply) ? (reply as unknown[]).slice(0, ENTRIES_MAX).map(fieldsOf) : [];
}

function fieldsOf(reply: unknown): Fields {
  const flat = Array.isArray(reply) ? (reply as unknown[]) : [];
  const fields: Record<string, string> = {};
  for (let i = 0; i + 1 < flat.length; i += 2) fields[String(flat[i])] = String(flat[i + 1]);
  return fields;
}
