import { text, whole, type Shape } from './shape.ts';

/** Ids of instances, shards and writers: components of object keys (`isSafeName`). */
export const safeId: Shape<string> = text(63, /^[a-z0-9][a-z0-9-]*$/);

/** Other ids made by the engine; they may hold `_`, as in `bk_…`, and become parts of keys too. */
export const id: Shape<string> = text(63, /^[a-z0-9][a-z0-9_-]*$/);

/** 64 hex digits: a SHA-256. */
export const digest: Shape<string> = text(64, /^[0-9a-f]{64}$/);

/** 32 hex digits: the id of a key. */
export const keyId: Shape<string> = text(32, /^[0-9a-f]{32}$/);

/** Unix milliseconds. A clock may stand before 1970: that is a fact too. */
export const ms: Shape<number> = whole(-Number.MAX_SAFE_INTEGER);

/** Whole Unix seconds. */
export const second: Shape<number> = whole(-Number.MAX_SAFE_INTEGER);

/** One line for a reader. */
export const line: Shape<string> = text(1024);
