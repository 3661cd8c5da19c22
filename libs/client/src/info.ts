import { NodeError } from '@tidemark/core';

/**
 * The answer to INFO.
 *
 * @see redis src/server.c, genRedisInfoString: `# Section` lines, `name:value` lines, CRLF
 */
export class Info {
  private readonly values: ReadonlyMap<string, string>;

  private constructor(values: ReadonlyMap<string, string>) {
    this.values = values;
  }

  /** Lines that are not `name:value` are left out; of a name that comes twice the last counts. */
  static parse(text: string): Info {
    const values = new Map<string, string>();
    for (const line of text.split(/\r?\n/)) {
      const colon = line.indexOf(':');
      if (colon > 0 && !line.startsWith('#'))
        values.set(line.slice(0, colon), line.slice(colon + 1));
    }
    return new Info(values);
  }

  /** A value as it stands, or undefined when the server does not tell it. */
  get(name: string): string | undefined {
    return this.values.get(name);
  }

  /**
   * A value as a number.
   *
   * @param missing - What to return when the server does not tell it; without it that is an error.
   * @throws NodeError `TM_NODE_REPLY` when there is no such value or it is not a safe number.
   */
  number(name: string, missing?: number): number {
    const text = this.values.get(name);
    if (text === undefined && missing !== undefined) return missing;
    const value = text === undefined || text === '' ? NaN : Number(text);
    const safe = Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value);
    if (!safe) {
      throw new NodeError('TM_NODE_REPLY', 'INFO does not tell a number that is needed', {
        context: { name, value: text ?? null },
      });
    }
    return value;
  }

  /** Whether a value is `1` or `ok`; false when the server does not tell it. */
  flag(name: string): boolean {
    const text = this.values.get(name);
    return text === '1' || text === 'ok';
  }

  /** A value of the form `a=1,b=2` in parts; empty when the server does not tell it. */
  fields(name: string): Readonly<Record<string, string>> {
    const fields: Record<string, string> = {};
    for (const part of (this.values.get(name) ?? '').split(',')) {
      const equals = part.indexOf('=');
      if (equals > 0) fields[part.slice(0, equals)] = part.slice(equals + 1);
    }
    return fields;
  }

  /** All names that match, in the order of the answer. */
  names(pattern: RegExp): readonly string[] {
    return [...this.values.keys()].filter((name) => pattern.test(name));
  }
}
