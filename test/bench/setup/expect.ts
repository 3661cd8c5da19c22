import { Redis } from 'ioredis';

/** A client that does not come back. */
export function connect(url: string): Redis {
  return new Redis(url, { protocol: 2, retryStrategy: () => null });
}

/** A bench that measured something else has measured nothing. */
export function expectEqual<T>(what: string, found: T, wanted: T): void {
  if (found !== wanted) throw new Error(`${what}: ${String(found)}, not ${String(wanted)}`);
}
