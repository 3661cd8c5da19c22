/** What a code means to the process: exit status (README.md, "Exit codes") and retry. */
export interface ErrorCodeFacts {
  readonly exit: number;
  readonly retryable: boolean;
  /** One line for docs/errors.md. */
  readonly meaning: string;
}

const fatal = (exit: number, meaning: string): ErrorCodeFacts => ({
  exit,
  retryable: false,
  meaning,
});
const passing = (exit: number, meaning: string): ErrorCodeFacts => ({
  exit,
  retryable: true,
  meaning,
});

/** Every code Tidemark can raise. A code is never renamed or used again for something else. */
export const ERROR_CODES = {
  // Usage and configuration
  TM_USAGE: fatal(2, 'a flag, argument or call is wrong'),
  TM_CONFIG: fatal(2, 'the configuration file is wrong'),
  TM_LISTEN: fatal(1, 'an address cannot be listened on'),
  TM_TOKENS: fatal(2, 'the file of API tokens cannot be used'),
  TM_TIME_SYNTAX: fatal(2, 'a time is not written as Tidemark reads it'),
  TM_INTERNAL: fatal(1, 'a fault of Tidemark itself'),
  TM_LIMIT: fatal(1, 'a configured maximum was reached'),
  TM_NOT_FOUND: fatal(10, 'an instance, backup, restore or object does not exist'),
  TM_EXISTS: fatal(2, 'the thing to be made exists'),
  TM_BUSY: fatal(11, 'the same work is under way'),
  TM_CANCELLED: fatal(130, 'stopped by the user'),
  // RESP
  TM_RESP_PROTOCOL: fatal(1, 'bytes on a connection are not RESP'),
  TM_RESP_LIMIT: fatal(1, 'a RESP length is over the limit'),
  TM_RESP_TRUNCATED: fatal(1, 'a RESP value ends too early'),
  // RDB
  TM_RDB_MAGIC: fatal(14, 'not an RDB file'),
  TM_RDB_VERSION: fatal(14, 'an RDB version that is not known'),
  TM_RDB_TYPE: fatal(14, 'a value type that is not known'),
  TM_RDB_OPCODE: fatal(14, 'an opcode that is not known or stands in a wrong place'),
  TM_RDB_LENGTH: fatal(14, 'a length that is not well encoded'),
  TM_RDB_STRING: fatal(14, 'a compressed string in an RDB that does not decode'),
  TM_RDB_LIMIT: fatal(14, 'a length in an RDB over the limit'),
  TM_RDB_TRUNCATED: fatal(14, 'an RDB that ends too early'),
  TM_RDB_TRAILING: fatal(14, 'bytes after the end of an RDB'),
  TM_RDB_CHECKSUM: fatal(14, 'an RDB whose CRC64 does not hold'),
  TM_RDB_VALUE: fatal(14, 'a value in an RDB whose content is not well formed'),
  TM_RDB_REWRITE: fatal(1, 'a value that the wanted rewrite cannot change'),
  // AOF
  TM_AOF_MANIFEST: fatal(14, 'an AOF manifest that is not well formed'),
  TM_AOF_PROTOCOL: fatal(14, 'a command log that is not well formed'),
  TM_AOF_LIMIT: fatal(14, 'a length in a command log over the limit'),
  TM_AOF_TRUNCATED: fatal(14, 'a command log that ends within a command'),
  TM_AOF_MISSING: fatal(14, 'a file that an AOF manifest names is missing'),
  TM_AOF_DIR: fatal(2, 'the AOF folder cannot be used'),
  TM_AOF_OFF: fatal(2, 'the append-only file is switched off'),
  TM_AOF_BASE: fatal(2, 'an AOF without a base, or with one of commands, which is no snapshot'),
  // Node
  TM_NODE_UNREACHABLE: passing(16, 'a server cannot be reached'),
  TM_NODE_AUTH: fatal(1, 'a server refuses the user or password'),
  TM_NODE_RIGHTS: fatal(1, 'a server denies a command that is needed'),
  TM_NODE_REPLY: fatal(1, 'a server answered what was not expected'),
  TM_TLS_SETTINGS: fatal(2, 'a TLS setting, certificate or key file that cannot be used'),
  TM_TLS_VERIFY: fatal(1, 'the certificate of a server does not hold: authority, dates or name'),
  TM_TLS_CLIENT_CERT: fatal(1, 'a server refuses our certificate, or wants one'),
  TM_TLS_PROTOCOL: fatal(1, 'no TLS version or cipher in common, or one side speaks no TLS'),
  TM_NODE_VERSION: fatal(1, 'a server version that cannot be used here'),
  TM_NODE_LOADING: passing(16, 'a server is still loading its data'),
  TM_REPLICA_LINK_DOWN: passing(16, 'a replica has lost its own primary and cannot be followed'),
  TM_REPLICATION: passing(16, 'a replication link to a server broke, or was refused for now'),
  TM_REPLICATION_PEER: fatal(1, 'a server does not speak replication as it is to be spoken'),
  // Sentinel
  TM_SENTINEL_DOWN: passing(16, 'no Sentinel of a set answers'),
  TM_SENTINEL_MASTER: fatal(2, 'the Sentinels watch no primary of this name'),
  TM_SENTINEL_AUTH: fatal(1, 'a Sentinel refuses the user or password, or a question'),
  TM_SENTINEL_STALE: passing(16, 'no node is what the Sentinels say of it'),
  // Target of a restore
  TM_TARGET_NOT_EMPTY: fatal(15, 'the target holds data'),
  TM_TARGET_REPLICAS: fatal(1, 'the target has replicas or is under Sentinel'),
  TM_TARGET_CLUSTER: fatal(1, 'the target runs in cluster mode'),
  TM_TARGET_DATABASES: fatal(1, 'the target has too few databases'),
  TM_TARGET_RDB_VERSION: fatal(1, 'the target cannot load this RDB version'),
  TM_TARGET_MODULES: fatal(1, 'the target lacks a module'),
  TM_TARGET_MEMORY: fatal(1, 'the target would evict or lacks memory'),
  TM_TARGET_SETTING: fatal(1, 'a setting of the target stands in the way'),
  TM_TARGET_LOST: fatal(1, 'the target left or failed during the restore'),
  TM_TARGET_COMMAND: fatal(1, 'the target cannot run a command of the replay'),
  TM_TARGET_REPLAY: fatal(1, 'the target refused a command of the replay'),
  TM_FEED: fatal(1, 'the replication feed failed'),
  TM_FEED_TLS: fatal(1, 'target and feed do not agree on TLS or on certificates'),
  TM_FEEDER: passing(1, 'the process that feeds a restore ended or failed'),
  TM_FEED_LISTEN: fatal(1, 'the feed cannot listen'),
  TM_SERVER_START: fatal(1, 'a server that was to be started did not come up'),
  // Sealed container
  TM_SEAL_FORMAT: fatal(14, 'an object is not a sealed container or its header is wrong'),
  TM_SEAL_IDENTITY: fatal(14, 'an object is not the one that was asked for'),
  TM_SEAL_COMMITMENT: fatal(14, 'the data key does not fit the object'),
  TM_SEAL_CHUNK: fatal(14, 'a chunk of an object was changed'),
  TM_SEAL_TRUNCATED: fatal(14, 'an object ends too early'),
  TM_SEAL_DIGEST: fatal(14, 'the digest of an object is not the one in the log'),
  TM_SEAL_LIMIT: fatal(14, 'an object is over a limit of the format'),
  // Keys
  TM_KEY_MISSING: fatal(12, 'a key is not in the key ring or key service'),
  TM_KEY_WRONG: fatal(12, 'a wrapped data key does not open with its key'),
  TM_KEY_RING: fatal(12, 'the key ring is missing, damaged or open to others'),
  TM_KEY_FORMAT: fatal(14, 'a stored wrapped data key is not well formed'),
  TM_KEY_DENIED: fatal(12, 'the key service refused'),
  TM_KEY_SHREDDED: fatal(12, 'the key of this data was destroyed on purpose'),
  TM_KEY_REFUSED: fatal(12, 'a data key is wrapped by a key that the instance does not allow'),
  TM_KEY_DISABLED: fatal(12, 'a key of the key service cannot be used in its state'),
  TM_KEY_SERVICE: passing(16, 'the key service failed, throttles or cannot be reached'),
  // TDE
  TM_TDE_DENIED: fatal(1, 'this is not done for an instance with TDE'),
  TM_TDE_CANNOT_BE_DISABLED: fatal(1, 'TDE cannot be switched off'),
  // Store
  TM_STORE_URL: fatal(2, 'a store address that cannot be used'),
  TM_STORE_KEY: fatal(1, 'an object key that is not allowed'),
  TM_STORE_IO: passing(16, 'the store failed'),
  TM_STORE_FULL: fatal(1, 'the store has no room'),
  TM_STORE_DENIED: fatal(1, 'the store does not know or does not allow this identity'),
  TM_STORE_CLOCK: fatal(1, 'the clock of this machine is too far from the one of the store'),
  TM_STORE_REFUSED: fatal(1, 'the store cannot do what is needed'),
  TM_STORE_FENCING: fatal(2, 'a store in which two archivers could both win'),
  TM_STORE_DIFFERS: fatal(14, 'an object in a store is not what it is to be'),
  TM_STORE_MISSING: fatal(14, 'an object that the log names is not in the store'),
  TM_STORE_LOCKED: fatal(11, 'the store holds an object that was to be deleted (Object Lock)'),
  TM_STORE_RANGE: fatal(14, 'an object is shorter than the range that was asked for'),
  // Archive formats
  TM_SEGMENT_FORMAT: fatal(14, 'a segment is not well formed'),
  TM_SNAPSHOT_FORMAT: fatal(14, 'a snapshot object is not well formed'),
  TM_FACTS_FORMAT: fatal(14, 'stored node facts are not well formed'),
  TM_UNDO_FORMAT: fatal(14, 'an undo pack is not well formed'),
  // Write-back and undo
  TM_WRITE_CONFLICT: fatal(
    1,
    'a key was changed by somebody else, and conflicts were to end the work',
  ),
  TM_WRITE_CONSENT: fatal(2, 'writing into a running instance was not confirmed'),
  TM_WRITE_PARTIAL: fatal(3, 'done, but some keys were left as they are'),
  TM_WRITE_TARGET: fatal(1, 'the original cannot be written to now'),
  TM_UNDO_EXPIRED: fatal(13, 'an undo pack is over its time'),
  // Log and catalog
  TM_LOG_FORMAT: fatal(14, 'a log entry is not well formed'),
  TM_LOG_AUTH: fatal(14, 'a log entry was not written with the log key'),
  TM_LOG_CHAIN: fatal(14, 'a log entry does not follow the one before it'),
  TM_LOG_GAP: fatal(14, 'a log entry is missing'),
  TM_LOG_CONFLICT: fatal(11, 'another writer wrote this log entry'),
  TM_LOG_OWNER: fatal(11, 'another archiver owns this writer log'),
  TM_LOG_STATE: fatal(1, 'an event that is not allowed in this state'),
  TM_CATALOG_DB: fatal(1, 'the catalog database failed'),
  // Planning
  TM_TIME_NOT_RESTORABLE: fatal(13, 'the wanted second is not restorable'),
  TM_OFFSET_NOT_RESTORABLE: fatal(13, 'the wanted offset is not restorable'),
  TM_TTL_FIELDS: fatal(2, 'a log of conditions on fields that needs their expiries'),
  TM_TTL_RANGE: fatal(2, 'an expiry time would be moved out of what can be held'),
  TM_OFFSET_NO_COMMAND: fatal(13, 'no command or transaction starts at the wanted offset'),
  // Selecting keys
  TM_SELECTOR_SYNTAX: fatal(2, 'a pattern or key is not written by the rules of docs/selectors.md'),
  TM_SELECTOR_EMPTY: fatal(2, 'a selection of keys that names nothing'),
  TM_SELECTOR_FORMAT: fatal(14, 'a stored selection of keys is not well formed'),
  // Archiver
  TM_SPOOL: fatal(1, 'the spool failed or is full'),
  TM_SPOOL_DAMAGED: fatal(14, 'the spool does not hold what was written to it'),
  TM_OUTPUT: fatal(1, 'the output cannot be written'),
  TM_ARCHIVER_DOWN: fatal(16, 'the archiver is not running'),
  TM_FLASHBACK_OFF: fatal(1, 'flashback is off: the log of an instance is not kept'),
  TM_ARCHIVER_REPLY: fatal(1, 'the archiver refused'),
  // Kafka
  TM_BUS_DOWN: passing(16, 'Kafka cannot be reached or does not answer'),
  TM_BUS_REFUSED: fatal(1, 'Kafka refuses: user, rights, TLS, or a topic that is not there'),
  TM_BUS_LIMIT: fatal(1, 'a message is too long for Kafka'),
  TM_BUS_MESSAGE: fatal(14, 'a message on Kafka is not well formed or not authentic'),
  // Jobs and the state of this host
  TM_JOB_BUSY: fatal(11, 'a job of the same kind is open for the instance'),
  TM_JOB_LIMIT: passing(11, 'too many jobs wait'),
  TM_JOB_OVER: fatal(1, 'a job has ended'),
  TM_JOB_STATE: fatal(1, 'a job is in a state that does not allow this'),
  TM_JOB_LOST: fatal(1, 'a job lost its worker, or what was kept of it'),
  TM_IDEMPOTENCY: fatal(2, 'an idempotency key was used before for something else'),
  TM_STATE_FULL: passing(1, 'the disk of the state folder is full'),
  TM_STATE_DB: fatal(1, 'the database of jobs failed'),
  // Backup policy
  TM_POLICY: fatal(2, 'a backup policy that cannot be meant'),
  TM_POLICY_CHANGED: fatal(11, 'a backup policy was changed by somebody else meanwhile'),
  // Single backups
  TM_BACKUP_DELETED: fatal(10, 'a backup that somebody deleted'),
  TM_BACKUP_HELD: fatal(2, 'a backup that is held is not deleted'),
  TM_BACKUP_LAST: fatal(2, 'the last good backup of a shard'),
  TM_BACKUP_LABELS: fatal(2, 'labels of a backup that cannot be'),
  // Clones and the recycle bin
  TM_TARGET_DENIED: fatal(2, 'a server that the configuration does not allow to be used so'),
  TM_TARGET_TOPOLOGY: fatal(2, 'a number of shards or a topology that cannot be made'),
  TM_PASSWORD: fatal(2, 'a new password that is not by the rules, or that there is not'),
  TM_PROVISION: fatal(1, 'a server for a clone could not be had'),
  TM_CLONE_VERIFY: fatal(14, 'a clone does not hold what it is to hold'),
  TM_RECYCLE_STATE: fatal(2, 'an instance is, or is not, in the recycle bin'),
  TM_TDE_REBUILD: fatal(1, 'an instance with TDE is not rebuilt from the recycle bin'),
  TM_CLEAR_UNKNOWN: fatal(3, 'nobody knows whether the data were cleared'),
} as const satisfies Record<string, ErrorCodeFacts>;

/** A permanent error code. */
export type ErrorCode = keyof typeof ERROR_CODES;
