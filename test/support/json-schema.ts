/** A JSON Schema of those keywords that the schemas of the API use. */
type Schema = Readonly<Record<string, unknown>>;

/** @returns What is wrong with a value; null = it fits. */
type Rule = (value: unknown, wanted: unknown, schema: Schema, at: string) => string | null;

const NOTES = new Set([
  '$id',
  'title',
  'description',
  'default',
  'examples',
  'deprecated',
  'format',
]);

const RULES: Readonly<Record<string, Rule>> = {
  type: (value, wanted) =>
    [wanted].flat().some((type) => isOf(value, type)) ? null : `is not ${JSON.stringify(wanted)}`,
  enum: (value, wanted) => ((wanted as unknown[]).includes(value) ? null : 'is none of the values'),
  const: (value, wanted) => (value === wanted ? null : `is not ${JSON.stringify(wanted)}`),
  pattern: (value, wanted) =>
    typeof value !== 'string' || new RegExp(String(wanted), 'u').test(value)
      ? null
      : `is not as ${String(wanted)}`,
  minLength: (value, wanted) =>
    typeof value !== 'string' || value.length >= Number(wanted) ? null : 'is too short',
  maxLength: (value, wanted) =>
    typeof value !== 'string' || value.length <= Number(wanted) ? null : 'is too long',
  minimum: (value, wanted) =>
    typeof value !== 'number' || value >= Number(wanted) ? null : 'is too small',
  maximum: (value, wanted) =>
    typeof value !== 'number' || value <= Number(wanted) ? null : 'is too large',
  minItems: (value, wanted) =>
    !Array.isArray(value) || value.length >= Number(wanted) ? null : 'has too few',
  maxItems: (value, wanted) =>
    !Array.isArray(value) || value.length <= Number(wanted) ? null : 'has too many',
  uniqueItems: (value) =>
    !Array.isArray(value) ||
    new Set(value.map((each) => JSON.stringify(each))).size === value.length
      ? null
      : 'has one twice',
  required: (value, wanted) => {
    const missing = isObject(value)
      ? (wanted as string[]).find((name) => !Object.hasOwn(value, name))
      : undefined;
    return missing === undefined ? null : `lacks ${missing}`;
  },
  properties: (value, wanted, _, at) =>
    isObject(value)
      ? first(Object.entries(wanted as Record<string, Schema>), ([name, each]) =>
          Object.hasOwn(value, name) ? schemaFault(each, value[name], `${at}/${name}`) : null,
        )
      : null,
  additionalProperties: (value, wanted, { properties = {} }, at) =>
    isObject(value)
      ? first(Object.keys(value), (name) => {
          if (wanted === true || Object.hasOwn(properties as object, name)) return null;
          return wanted === false
            ? `has ${name}, which is not known`
            : schemaFault(wanted as Schema, value[name], `${at}/${name}`);
        })
      : null,
  items: (value, wanted, _, at) =>
    Array.isArray(value)
      ? first([...value.keys()], (i) => schemaFault(wanted as Schema, value[i], `${at}/${i}`))
      : null,
  anyOf: (value, wanted, _, at) =>
    (wanted as Schema[]).some((each) => schemaFault(each, value, at) === null)
      ? null
      : 'fits none of the shapes',
};

/**
 * Holds a value against a schema.
 * @returns Where and what is wrong; null = it fits.
 * @throws Error for a keyword that is not known here: a rule that is not looked at would hold for everything.
 */
export function schemaFault(schema: Schema, value: unknown, at = ''): string | null {
  return first(Object.entries(schema), ([keyword, wanted]) => {
    if (NOTES.has(keyword)) return null;
    const rule = RULES[keyword];
    if (rule === undefined) throw new Error(`schemas with ${keyword} cannot be looked at`);
    const fault = rule(value, wanted, schema, at);
    return fault === null || fault.startsWith('at ')
      ? fault
      : `at ${at === '' ? '/' : at}: ${fault}`;
  });
}

function first<T>(of: readonly T[], look: (each: T) => string | null): string | null {
  for (const each of of) {
    const fault = look(each);
    if (fault !== null) return fault;
  }
  return null;
}

function isOf(value: unknown, type: unknown): boolean {
  if (type === 'null') return value === null;
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return isObject(value);
  if (type === 'integer') return Number.isInteger(value);
  return typeof value === type;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
