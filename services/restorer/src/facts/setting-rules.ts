/**
 * Settings that may be written on any target: they can be set at run time, concern the data or the
 * service and not the machine, and no value of them locks anybody out or writes to a disk.
 *
 * @see redis src/config.c, static_configs, 6.0 to 8.2; valkey src/config.c, 9.0
 */
const SAFE: readonly RegExp[] = [
  /^maxmemory-(policy|samples|eviction-tenacity|clients)$/,
  /^notify-keyspace-events$/,
  /^(hash|zset|set)-max-(listpack|ziplist)-(entries|value)$/,
  /^list-max-(listpack|ziplist)-size$/,
  /^list-compress-depth$/,
  /^set-max-intset-entries$/,
  /^hll-sparse-max-bytes$/,
  /^stream-node-max-(bytes|entries)$/,
  /^(slowlog|commandlog)-/,
  /^latency-(monitor-threshold|tracking|tracking-info-percentiles)$/,
  /^(timeout|tcp-keepalive|tracking-table-max-keys|client-query-buffer-limit)$/,
  /^lfu-(log-factor|decay-time)$/,
  /^active-expire-effort$/,
  /^lazyfree-lazy-/,
  /^(activedefrag|activerehashing)$/,
  /^active-defrag-/,
  /^(lua-time-limit|busy-reply-threshold)$/,
];

/** Why settings of a kind are left alone; the first that fits counts. */
const REASONS: readonly (readonly [RegExp, string])[] = [
  [
    /^(bind|port|unixsocket|dir$|logfile|pidfile|syslog|supervised|daemonize|proc-title|set-proc)/,
    'it belongs to the machine',
  ],
  [
    /cpulist|^oom-score|^io-threads|^tcp-backlog|^socket-mark|^disable-thp/,
    'it belongs to the machine',
  ],
  [/^(maxclients|hz|dynamic-hz|crash-|watchdog)/, 'it belongs to the machine'],
  [/^(repl|slave|min-(replicas|slaves)|master|primary|propagation)/, 'it is of replication'],
  [
    /^(save|append|aof|auto-aof|rdb|dbfilename|no-appendfsync|stop-writes|shutdown|sanitize-dump)/,
    'it is of persistence',
  ],
  [/^(tls|protected|acl|enable-|rename|loadmodule|user)/, 'it says who may come in'],
  [/^cluster/, 'it is of the cluster'],
];

/** Whether a setting is on the closed list of those that may be written. */
export function isSafeSetting(name: string): boolean {
  return SAFE.some((pattern) => pattern.test(name));
}

/** Why a setting that is not on the list is left as it is. */
export function reasonToLeave(name: string): string {
  const found = REASONS.find(([pattern]) => pattern.test(name));
  return found?.[1] ?? 'it is not on the list of settings that are written';
}

/** What the memory limit of a node is held against. */
export interface TargetMemory {
  /** Bytes; 0 = no limit. */
  readonly limit: number;
  readonly used: number;
  /** Of the machine; 0 = not told. */
  readonly system: number;
}

/** Why `maxmemory` of the node is not written on a target; null when it may be. Bytes. */
export function refuseMaxmemory(wanted: number, target: TargetMemory): string | null {
  if (!Number.isSafeInteger(wanted) || wanted < 0) return 'it is no number of bytes';
  if (wanted === 0) return 'it would lift the limit of the target';
  if (wanted < target.used) return 'it is less than the target uses now';
  if (target.system > 0 && wanted > target.system) return 'it is more than the machine has';
  return target.system === 0 ? 'the memory of the machine is not known' : null;
}
