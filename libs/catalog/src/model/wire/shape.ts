import { isJsonObject, WireFault, type Json, type JsonObject } from './canonical-json.ts';

/**
 * How one kind of value stands in a durable record. Both directions check: what was decoded can
 * be encoded to the same JSON, and what cannot be decoded is never written.
 */
export interface Shape<T> {
  /** @throws WireFault when the value is out of bounds. */
  encode(value: T, path: string): Json;
  /** @throws WireFault when the JSON is not of this shape. */
  decode(json: Json, path: string): T;
}

/** Largest offset: the server counts in signed 64 bits, and so does SQLite. */
export const OFFSET_MAX = (1n << 63n) - 1n;

/** A whole number from `min` to `max`, both inclusive. */
export function whole(min = 0, max: number = Number.MAX_SAFE_INTEGER): Shape<number> {
  const check = (value: unknown, path: string): number => {
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
      throw new WireFault(path, 'not a whole number');
    }
    if (value < min || value > max) {
      throw new WireFault(path, `${value} is not within ${min}..${max}`);
    }
    return value;
  };
  return { encode: check, decode: check };
}

/** A text of at most `lengthMax` UTF-16 units that matches `pattern`. */
export function text(
  lengthMax: number,
  pattern: RegExp = /^[^\p{Cc}\p{Surrogate}]*$/u,
): Shape<string> {
  const check = (value: unknown, path: string): string => {
    if (typeof value !== 'string') throw new WireFault(path, 'not a text');
    if (value.length > lengthMax) {
      throw new WireFault(path, `${value.length} characters are over the limit of ${lengthMax}`);
    }
    if (!pattern.test(value)) throw new WireFault(path, 'a text that is not allowed here');
    return value;
  };
  return { encode: check, decode: check };
}

/** True or false. */
export const flag: Shape<boolean> = { encode: checkFlag, decode: checkFlag };

function checkFlag(value: unknown, path: string): boolean {
  if (typeof value !== 'boolean') throw new WireFault(path, 'not true or false');
  return value;
}

/** A bigint of 0..2^63-1, a decimal string without leading zeros in JSON. */
export const offset: Shape<bigint> = {
  encode(value, path) {
    // Callers in plain JavaScript, or numbers read from JSON, must not pass as offsets.
    if (typeof value !== 'bigint' || value < 0n || value > OFFSET_MAX) {
      throw new WireFault(path, 'not an offset');
    }
    return String(value);
  },
  decode(json, path) {
    if (typeof json !== 'string' || !/^(0|[1-9]\d{0,18})$/.test(json)) {
      throw new WireFault(path, 'not an offset');
    }
    const value = BigInt(json);
    if (value > OFFSET_MAX) throw new WireFault(path, 'an offset over 2^63-1');
    return value;
  },
};

/** One of a closed list of words. */
export function oneOf<const T extends string>(...words: readonly T[]): Shape<T> {
  const check = (value: unknown, path: string): T => {
    const found = words.find((word) => word === value);
    if (found === undefined) throw new WireFault(path, `not one of ${words.join(', ')}`);
    return found;
  };
  return { encode: check, decode: check };
}

/** The value, or null. */
export function nullable<T>(inner: Shape<T>): Shape<T | null> {
  return {
    encode: (value, path) => (value === null ? null : inner.encode(value, path)),
    decode: (json, path) => (json === null ? null : inner.decode(json, path)),
  };
}

/** A list of at most `countMax` values. */
export function listOf<T>(inner: Shape<T>, countMax: number): Shape<readonly T[]> {
  const checkCount = (count: number, path: string): void => {
    if (count > countMax) throw new WireFault(path, `${count} items are over ${countMax}`);
  };
  return {
    encode(value, path) {
      checkCount(value.length, path);
      return value.map((item, index) => inner.encode(item, `${path}[${index}]`));
    },
    decode(json, path) {
      if (!Array.isArray(json)) throw new WireFault(path, 'not a list');
      const items = json as readonly Json[];
      checkCount(items.length, path);
      return items.map((item, index) => inner.decode(item, `${path}[${index}]`));
    },
  };
}

/** A map whose names match `pattern`, with at most `countMax` of them. */
export function mapOf<T>(
  pattern: RegExp,
  inner: Shape<T>,
  countMax: number,
): Shape<Readonly<Record<string, T>>> {
  const convert = <A, B>(
    from: Readonly<Record<string, A>>,
    each: (value: A, path: string) => B,
    path: string,
  ): Record<string, B> => {
    const entries = Object.entries(from);
    if (entries.length > countMax) {
      throw new WireFault(path, `${entries.length} names are over ${countMax}`);
    }
    return Object.fromEntries(
      entries.map(([name, value]) => {
        if (!pattern.test(name)) throw new WireFault(path, 'a name that is not allowed here');
        return [name, each(value, `${path}.${name}`)];
      }),
    );
  };
  return {
    encode: (value, path) => convert(value, (item, at) => inner.encode(item, at), path),
    decode(json, path) {
      if (!isJsonObject(json)) throw new WireFault(path, 'not an object');
      return convert(json, (item, at) => inner.decode(item, at), path);
    },
  };
}

/** The shape of a field that may be absent: one that came with a later release. */
export interface OptionalShape<T> extends Shape<T> {
  readonly optional: true;
}

/** A field that may be absent; in the JSON too, so that what was written before stays as it is. */
export function optional<T>(inner: Shape<T>): OptionalShape<T> {
  return { ...inner, optional: true };
}

/** The shapes of the fields of `T`; the compiler asks for every one. */
export type FieldShapes<T> = {
  readonly [K in keyof T]-?: undefined extends T[K]
    ? OptionalShape<Exclude<T[K], undefined>>
    : Shape<T[K]>;
};

/** An object with exactly these fields: none missing but the optional ones, none unknown. */
export function fields<T extends object>(shapes: FieldShapes<T>): Shape<T> {
  const names = Object.keys(shapes) as (keyof T & string)[];
  const shapeOf = (name: keyof T & string): Shape<unknown> & { readonly optional?: true } =>
    shapes[name];
  return {
    encode(value, path) {
      const json: Record<string, Json> = {};
      for (const name of names) {
        const shape = shapeOf(name);
        if (shape.optional === true && value[name] === undefined) continue;
        json[name] = shape.encode(value[name], `${path}.${name}`);
      }
      return json;
    },
    decode(json, path) {
      if (!isJsonObject(json)) throw new WireFault(path, 'not an object');
      refuseUnknown(json, names, path);
      const value: Record<string, unknown> = {};
      for (const name of names) {
        const field = json[name];
        const shape = shapeOf(name);
        if (field !== undefined) value[name] = shape.decode(field, `${path}.${name}`);
        else if (shape.optional !== true) throw new WireFault(`${path}.${name}`, 'missing');
      }
      return value as T;
    },
  };
}

/** The shapes of a union that is told apart by `type`; the compiler asks for every member. */
export type MemberShapes<U extends { readonly type: string }> = {
  readonly [T in U['type']]: FieldShapes<Omit<Extract<U, { readonly type: T }>, 'type'>>;
};

/** One member of a union told apart by its field `type`. */
export function unionOf<U extends { readonly type: string }>(members: MemberShapes<U>): Shape<U> {
  const shapes = new Map<string, Shape<object>>();
  for (const [type, member] of Object.entries(members)) {
    shapes.set(type, fields(member as FieldShapes<object>));
  }
  const shapeOf = (type: unknown, path: string): Shape<object> => {
    const shape = typeof type === 'string' ? shapes.get(type) : undefined;
    if (shape === undefined) throw new WireFault(`${path}.type`, 'a type that is not known');
    return shape;
  };
  return {
    encode(value, path) {
      const json = shapeOf(value.type, path).encode(value, path) as JsonObject;
      return { ...json, type: value.type };
    },
    decode(json, path) {
      if (!isJsonObject(json)) throw new WireFault(path, 'not an object');
      const { type, ...rest } = json;
      return { ...shapeOf(type, path).decode(rest, path), type } as unknown as U;
    },
  };
}

function refuseUnknown(json: JsonObject, names: readonly string[], path: string): void {
  for (const name of Object.keys(json)) {
    if (!names.includes(name)) throw new WireFault(path, `a field that is not known: ${name}`);
  }
}
