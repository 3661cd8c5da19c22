import { isKeyComponent } from '../object-key.ts';

/**
 * Ends the name of every object. Servers that keep objects as files cannot hold both `x` and `x/y`;
 * with it no name is a folder of another one. It is less than every character of a key, so names
 * have the order of their keys.
 */
const END = '!';

/** The name of an object in its bucket: `<prefix>/<key>!`. */
export function nameOf(prefix: string, key: string): string {
  return `${rootOf(prefix)}${key}${END}`;
}

/** What the names of all objects of a store begin with: '' or the prefix and a slash. */
export function rootOf(prefix: string): string {
  return prefix === '' ? '' : `${prefix}/`;
}

/** The key of a name; null when it is not one of a Tidemark store. */
export function keyOf(prefix: string, name: string): string | null {
  const root = rootOf(prefix);
  if (!name.startsWith(root) || !name.endsWith(END)) return null;
  const key = name.slice(root.length, -END.length);
  return key.split('/').every(isKeyComponent) ? key : null;
}
