/** Longest key in bytes, decoded and as stored: what a server can hold (`proto-max-bulk-len`). */
export const KEY_BYTES_MAX = 512 * 1024 * 1024;

/** Longest name of an AUX field in bytes; servers write less than 32. */
export const AUX_NAME_BYTES_MAX = 65_536;

/** Longest AUX value in bytes that a summary keeps; a longer or packed value is passed, not kept. */
export const AUX_VALUE_BYTES_KEPT = 1023;

/** AUX fields that a summary keeps; further ones are passed and not kept. */
export const AUX_FIELDS_KEPT = 64;

/** Highest database number (servers count databases in 32 bits, signed). */
export const DATABASE_MAX = 2_147_483_647;

/** How many databases of one file may hold keys. */
export const DATABASE_COUNT_MAX = 65_536;

/** How many modules one file may name. */
export const MODULE_COUNT_MAX = 256;

/** An LZF back reference of three bytes stands for at most 264. */
export const LZF_EXPANSION_MAX = 88;

/**
 * What a conversion holds of a value at once, in bytes: a listpack, a node of a list, a field with its
 * value. As much as a server takes for one string (`proto-max-bulk-len`).
 */
export const VALUE_PART_BYTES_MAX = 512 * 1024 * 1024;

/** The latest expiry of a field that Redis loads, Unix milliseconds (src/ebuckets.h, 48 bits). */
export const FIELD_EXPIRY_MAX = 2 ** 48 - 1;

/** Bytes before a key that `rewriteRdb` holds until it knows the key: the KEY_META block. */
export const KEY_META_BYTES_MAX = 16 * 1024 * 1024;
