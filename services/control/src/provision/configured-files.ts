import { realpath } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { loadConfig } from '@tidemark/workspace';

/**
 * Whether the configuration, as it is now, names a file: as the password of an instance, or for whatever else. What
 * it names must stay: who reads it next would fail.
 * @param configPath - Of tidemark.toml.
 * @throws As `loadConfig`: then nobody knows.
 */
export async function isFileConfigured(path: string, configPath: string): Promise<boolean> {
  const name = basename(path);
  const base = dirname(configPath);
  const texts = textsIn(await loadConfig(configPath)).filter((text) => basename(text) === name);
  if (texts.length === 0) return false;
  const place = await placeOf(path);
  const places = await Promise.all(texts.map((text) => placeOf(resolve(base, text))));
  return places.includes(place);
}

/** Links lead to one place under more than one name. */
async function placeOf(path: string): Promise<string> {
  return realpath(path).catch(() => resolve(path));
}

function textsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  return value !== null && typeof value === 'object' ? Object.values(value).flatMap(textsIn) : [];
}
