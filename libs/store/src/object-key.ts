import { StoreError } from '@tidemark/core';

/** Longest object key in bytes, inclusive. */
export const KEY_BYTES_MAX = 512;
/** Longest component of an object key in bytes, inclusive: a file name with room for a mark. */
export const KEY_COMPONENT_BYTES_MAX = 200;

const COMPONENT = /^[a-z0-9][a-z0-9._-]*$/;

/** Whether a string may stand between two slashes of an object key. */
export function isKeyComponent(component: string): boolean {
  return (
    component.length <= KEY_COMPONENT_BYTES_MAX &&
    COMPONENT.test(component) &&
    !component.includes('..')
  );
}

/**
 * Refuses what is not an object key: components of `[a-z0-9][a-z0-9._-]*` joined by `/`, without
 * `..`, at most 200 bytes a component and 512 bytes in all.
 *
 * @throws StoreError `TM_STORE_KEY`; the key itself is not repeated, it may be hostile.
 */
export function assertObjectKey(key: string): void {
  if (key.length > KEY_BYTES_MAX) throw refused('too long', key);
  if (!key.split('/').every(isKeyComponent)) throw refused('not well formed', key);
}

/**
 * Refuses what cannot begin an object key; the empty prefix is allowed.
 *
 * @throws StoreError `TM_STORE_KEY`.
 */
export function assertKeyPrefix(prefix: string): void {
  if (prefix.length > KEY_BYTES_MAX) throw refused('too long', prefix);
  const components = prefix.split('/');
  const last = components.pop() ?? '';
  if (!components.every(isKeyComponent) || !(last === '' || isKeyComponent(last))) {
    throw refused('not well formed', prefix);
  }
}

function refused(why: string, key: string): StoreError {
  return new StoreError('TM_STORE_KEY', `an object key is ${why}`, {
    context: { length: key.length, lengthMax: KEY_BYTES_MAX },
  });
}
