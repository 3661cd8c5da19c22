import { ListAliasesCommand, ListKeysCommand } from '@aws-sdk/client-kms';
import type { KmsService } from './kms-service.ts';

/** Keys and aliases that are looked at in all, and pages of them. */
const KEYS_MAX = 1_000;
const ALIASES_MAX = 5_000;
const PAGES_MAX = 200;
const PARALLEL = 4;

/** A name of a key. */
export interface KmsAlias {
  readonly name: string;
  /** Short id of the key. */
  readonly target: string;
}

interface Page<T> {
  readonly items: readonly T[];
  readonly next: string | undefined;
}

/** ARNs of the account's keys, page by page; at most 1,000. */
export async function listKeyArns(service: KmsService): Promise<readonly string[]> {
  return allPages(KEYS_MAX, (marker) =>
    service.call({
      action: 'ListKeys',
      keyId: null,
      run: async (client, abortSignal) => {
        const command = new ListKeysCommand({ Limit: 100, ...markerOf(marker) });
        const { Keys = [], Truncated, NextMarker } = await client.send(command, { abortSignal });
        const items = Keys.flatMap(({ KeyArn }) => (KeyArn === undefined ? [] : [KeyArn]));
        return { items, next: Truncated === true ? NextMarker : undefined };
      },
    }),
  );
}

/**
 * Aliases of one key or, with null, of all of the account; at most 5,000.
 */
export async function listAliases(
  service: KmsService,
  keyId: string | null,
): Promise<readonly KmsAlias[]> {
  return allPages(ALIASES_MAX, (marker) =>
    service.call({
      action: 'ListAliases',
      keyId,
      run: async (client, abortSignal) => {
        const command = new ListAliasesCommand({
          Limit: 100,
          ...(keyId === null ? {} : { KeyId: keyId }),
          ...markerOf(marker),
        });
        const { Aliases = [], Truncated, NextMarker } = await client.send(command, { abortSignal });
        const items = Aliases.flatMap(({ AliasName: name, TargetKeyId: target }) =>
          name === undefined || target === undefined ? [] : [{ name, target }],
        );
        return { items, next: Truncated === true ? NextMarker : undefined };
      },
    }),
  );
}

/** Does work for each item, four at a time, and gives the results in order. */
export async function inParallel<T, R>(
  items: readonly T[],
  work: (item: T) => Promise<R>,
): Promise<readonly R[]> {
  const results = new Array<R>(items.length);
  const queue = items.entries();
  const worker = async (): Promise<void> => {
    for (const [index, item] of queue) results[index] = await work(item);
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
  return results;
}

async function allPages<T>(
  max: number,
  read: (marker: string | undefined) => Promise<Page<T>>,
): Promise<readonly T[]> {
  const all: T[] = [];
  let marker: string | undefined;
  for (let page = 0; page < PAGES_MAX && all.length < max; page++) {
    const { items, next } = await read(marker);
    all.push(...items);
    if (next === undefined) break;
    marker = next;
  }
  return all.slice(0, max);
}

function markerOf(marker: string | undefined): { readonly Marker?: string } {
  return marker === undefined ? {} : { Marker: marker };
}
