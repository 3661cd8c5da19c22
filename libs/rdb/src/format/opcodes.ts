/**
 * Opcodes of an RDB file; every byte below `OPCODE_FIRST` is a value type.
 * @see redis src/rdb.h, "RDB_OPCODE_"; docs/formats/rdb-reading.md
 */
export const OPCODE = {
  /** Redis 8.10: HASH_TEMPLATE; Valkey 9.2: UPDATE. Both refused. */
  second242: 0xf2,
  /** Redis 8.6: KEY_META before a key; Valkey 9.0: SLOT_IMPORT. */
  keyMetaOrSlotImport: 0xf3,
  slotInfo: 0xf4,
  function2: 0xf5,
  functionPreGa: 0xf6,
  moduleAux: 0xf7,
  idle: 0xf8,
  frequency: 0xf9,
  aux: 0xfa,
  resizeDb: 0xfb,
  expiryMs: 0xfc,
  expirySeconds: 0xfd,
  selectDb: 0xfe,
  endOfFile: 0xff,
} as const;

/** The lowest byte that is an opcode. */
export const OPCODE_FIRST = 0xf2;
