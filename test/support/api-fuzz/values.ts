import type { Dice } from './dice.ts';
import type { Schema } from './document.ts';

/** Texts that somebody who wants to break in, or made a mistake, would send. */
export const NASTY: readonly string[] = [
  ...["' OR 1=1 --", '"; DROP TABLE jobs; --', '../../../etc/passwd', '..%2f..%2f', '/dev/zero'],
  ...['$(reboot)', '`id`', '${jndi:ldap://127.0.0.1/a}', '{{7*7}}', '%s%n%x', '\u0000', 'a\u0000b'],
  ...['\r\nSet-Cookie: a=b', '<script>alert(1)</script>', '__proto__', 'constructor', 'toString'],
  ...[
    'redis://127.0.0.1:1',
    'http://169.254.169.254/latest',
    'file:///etc/passwd',
    'env:HOME',
    '-',
  ],
  ...['(a+)+$', '[', '*', '(?=x)', '\\', '\\x', '\ud800', '\u202e', 'é', '💥', ' ', '', '0', '-1'],
  ...[
    '9'.repeat(40),
    '1e400',
    'NaN',
    'null',
    'true',
    '2026-02-30T00:00:00Z',
    '9999-99-99T99:99:99Z',
  ],
];

const LETTERS = ['a', 'b', 'c', 'x', 'y', 'z', '0', '1', '9'];

/** What may stand for a field or parameter, by its name: ids that exist, times with history. */
export type Hints = Readonly<Record<string, readonly unknown[]>>;

/** Makes a value that fits a schema, or nearly: patterns are served by the hints. */
export function fitting(schema: Schema, name: string, dice: Dice, hints: Hints): unknown {
  if (schema.const !== undefined) return schema.const;
  const known = hints[name];
  if (known !== undefined && known.length > 0 && dice.chance(name.startsWith('body') ? 0.5 : 0.9))
    return dice.pick(known);
  if (schema.enum !== undefined) return dice.pick(schema.enum);
  const shapes = schema.anyOf ?? schema.oneOf;
  if (shapes !== undefined) return fitting(dice.pick(shapes), name, dice, hints);
  const type = Array.isArray(schema.type) ? dice.pick(schema.type as string[]) : schema.type;
  switch (type) {
    case 'object':
      return objectOf(schema, dice, hints);
    case 'array':
      return arrayOf(schema, name, dice, hints);
    case 'integer':
    case 'number':
      return dice.int(schema.minimum ?? 0, Math.min(schema.maximum ?? 1000, 1_000_000));
    case 'boolean':
      return dice.chance(0.5);
    case 'null':
      return null;
    default:
      return textOf(schema, dice);
  }
}

function objectOf(schema: Schema, dice: Dice, hints: Hints): Record<string, unknown> {
  const made: Record<string, unknown> = {};
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const needed = schema.required?.includes(name) === true;
    if (needed || dice.chance(0.25)) made[name] = fitting(property, name, dice, hints);
  }
  return made;
}

function arrayOf(schema: Schema, name: string, dice: Dice, hints: Hints): unknown[] {
  const least = schema.minItems ?? 0;
  const length = dice.int(least, Math.min(schema.maxItems ?? 3, least + 3));
  return Array.from({ length }, () => fitting(schema.items ?? {}, `${name}[]`, dice, hints));
}

function textOf({ minLength = 0, maxLength = 20 }: Schema, dice: Dice): string {
  const length = dice.int(Math.max(minLength, 1), Math.max(minLength, Math.min(maxLength, 24)));
  return Array.from({ length }, () => dice.pick(LETTERS)).join('');
}

/** Spoils one place of a value. */
export function spoiled(value: unknown, dice: Dice): unknown {
  if (typeof value === 'object' && value !== null && dice.chance(0.8)) {
    if (Array.isArray(value)) return spoiledArray(value, dice);
    return spoiledObject({ ...(value as Record<string, unknown>) }, dice);
  }
  return dice.pick<() => unknown>([
    () => dice.pick(NASTY),
    () => 'x'.repeat(dice.pick([300, 5_000, 70_000])),
    () => dice.pick([0, -1, 1.5, 2 ** 53, 1e308, -0]),
    () => null,
    () => true,
    () => [],
    () => ({}),
    () => [[[[[[value]]]]]],
    () => ({ $ref: '#', toString: 1 }),
  ])();
}

function spoiledArray(value: readonly unknown[], dice: Dice): unknown {
  if (value.length === 0)
    return Array.from({ length: dice.pick([1, 2000]) }, () => dice.pick(NASTY));
  const at = dice.int(0, value.length - 1);
  return value.map((each, index) => (index === at ? spoiled(each, dice) : each));
}

function spoiledObject(value: Record<string, unknown>, dice: Dice): unknown {
  const names = Object.keys(value);
  if (names.length === 0 || dice.chance(0.25)) {
    return { ...value, [dice.pick(['unknown', ...NASTY])]: dice.pick<unknown>([1, 'x', {}, null]) };
  }
  const name = dice.pick(names);
  if (!dice.chance(0.2)) return { ...value, [name]: spoiled(value[name], dice) };
  return Object.fromEntries(Object.entries(value).filter(([each]) => each !== name));
}
