import type { ObjectStore } from './object-store.ts';

/** Makes a link that gives an object to who holds it, for a time. */
export type PresignGet = (key: string, ttlSeconds: number) => Promise<string>;

/**
 * A link to an object, signed with the credentials of the store. An adapter that can make one offers
 * it as its property `presignGet`.
 * @param ttlSeconds - How long it is good for; S3 signs for 7 days at most.
 * @returns null for a store that has no links.
 */
export function presignGet(
  store: ObjectStore & { readonly presignGet?: PresignGet },
  key: string,
  ttlSeconds: number,
): Promise<string> | null {
  return store.presignGet?.(key, ttlSeconds) ?? null;
}
