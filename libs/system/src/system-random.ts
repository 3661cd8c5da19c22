import { randomBytes } from 'node:crypto';
import type { Random } from '@tidemark/core';

/** Random bytes of the operating system. Made in a service's main.ts only. */
export const systemRandom: Random = { bytes: (byteCount) => randomBytes(byteCount) };
