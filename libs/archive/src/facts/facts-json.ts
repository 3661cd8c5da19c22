import { UsageError } from '@tidemark/core';
import { formatError } from '../frames/byte-reader.ts';
import {
  FACTS_PARTS,
  type AclUserFacts,
  type CommandFacts,
  type FactsPart,
  type NodeFactsRecord,
} from './node-facts.ts';
import { isSecretSetting } from './secrets.ts';

const BYTES = /^[\u0000-\u00ff]*$/;
const MODULES_MAX = 1_000;
const COMMANDS_MAX = 20_000;
const SETTINGS_MAX = 20_000;
const USERS_MAX = 100_000;

/** The one JSON text of facts: fields in a fixed order, lists and settings sorted by name. */
export function writeFacts(facts: NodeFactsRecord): string {
  const { product, version, modules, commands, config, secrets, acl, unread } = facts;
  const secret = Object.keys(config ?? {}).find(isSecretSetting);
  if (secret !== undefined) {
    throw new UsageError('TM_USAGE', `the value of ${secret} may not be stored`);
  }
  return JSON.stringify({
    product,
    version,
    modules: modules && sorted(modules).map(({ name, version }) => ({ name, version })),
    commands: commands && sorted(commands).map(commandJson),
    config: config && Object.fromEntries(Object.entries(config).sort(([a], [b]) => order(a, b))),
    secrets: [...secrets].sort(order),
    acl: acl && sorted(acl).map(({ name, rules }) => ({ name, rules })),
    unread: FACTS_PARTS.flatMap((part) => {
      const found = unread.find((one) => one.part === part);
      return found === undefined ? [] : [{ part, code: found.code }];
    }),
  });
}

function commandJson({ name, arity, flags, firstKey, lastKey, keyStep }: CommandFacts): object {
  return { name, arity, flags: [...flags].sort(order), firstKey, lastKey, keyStep };
}

function sorted<T extends { readonly name: string }>(list: readonly T[]): readonly T[] {
  return [...list].sort((a, b) => order(a.name, b.name));
}

function order(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

/**
 * Reads what `writeFacts` wrote.
 * @throws FormatError `TM_FACTS_FORMAT` with the field in the context.
 */
export function parseFacts(json: Buffer): NodeFactsRecord {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(json));
  } catch {
    throw bad('$', 'not JSON in UTF-8');
  }
  const all = objectAt(value, '$');
  const product = textAt(all['product'], 'product');
  if (product !== 'redis' && product !== 'valkey') throw bad('product', 'not known');
  return {
    product,
    version: textAt(all['version'], 'version'),
    modules: orNull(all['modules'], 'modules', MODULES_MAX, (one, at) => ({
      name: textAt(one['name'], at),
      version: wholeAt(one['version'], at),
    })),
    commands: orNull(all['commands'], 'commands', COMMANDS_MAX, parseCommand),
    config: all['config'] === null ? null : parseConfig(all['config']),
    secrets: listAt(all['secrets'], 'secrets', SETTINGS_MAX).map((name) => textAt(name, 'secrets')),
    acl: orNull(all['acl'], 'acl', USERS_MAX, parseUser),
    unread: listAt(all['unread'], 'unread', FACTS_PARTS.length).map((one) => {
      const { part, code } = objectAt(one, 'unread');
      return { part: partAt(part), code: textAt(code, 'unread') };
    }),
  };
}

function parseCommand(one: Readonly<Record<string, unknown>>, at: string): CommandFacts {
  return {
    name: textAt(one['name'], at),
    arity: wholeAt(one['arity'], at),
    flags: listAt(one['flags'], at, 64).map((flag) => textAt(flag, at)),
    firstKey: wholeAt(one['firstKey'], at),
    lastKey: wholeAt(one['lastKey'], at),
    keyStep: wholeAt(one['keyStep'], at),
  };
}

function parseUser(one: Readonly<Record<string, unknown>>, at: string): AclUserFacts {
  return { name: textAt(one['name'], at), rules: textAt(one['rules'], at) };
}

function parseConfig(value: unknown): Readonly<Record<string, string>> {
  const entries = Object.entries(objectAt(value, 'config'));
  if (entries.length > SETTINGS_MAX) throw bad('config', `more than ${SETTINGS_MAX} settings`);
  if (entries.some(([name]) => isSecretSetting(name))) throw bad('config', 'one with a secret');
  return Object.fromEntries(entries.map(([name, one]) => [name, textAt(one, 'config')]));
}

function orNull<T>(
  value: unknown,
  field: FactsPart,
  countMax: number,
  read: (one: Readonly<Record<string, unknown>>, at: string) => T,
): readonly T[] | null {
  if (value === null) return null;
  return listAt(value, field, countMax).map((one) => read(objectAt(one, field), field));
}

function objectAt(value: unknown, field: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw bad(field, 'not an object');
}

function listAt(value: unknown, field: string, countMax: number): readonly unknown[] {
  if (!Array.isArray(value)) throw bad(field, 'not a list');
  if (value.length > countMax) throw bad(field, `${value.length} items are over ${countMax}`);
  return value;
}

function textAt(value: unknown, field: string): string {
  if (typeof value === 'string' && BYTES.test(value)) return value;
  throw bad(field, 'not a text of bytes');
}

function wholeAt(value: unknown, field: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
  throw bad(field, 'not a whole number');
}

function partAt(value: unknown): FactsPart {
  const part = FACTS_PARTS.find((one) => one === value);
  if (part !== undefined) return part;
  throw bad('unread', 'names no part');
}

function bad(field: string, reason: string): Error {
  return formatError('facts', `node facts: ${field} is ${reason}`, 0, { field });
}
