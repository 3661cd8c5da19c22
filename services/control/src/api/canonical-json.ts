const DEPTH_MAX = 64;

/**
 * JSON with names in order and nothing between: equal values give equal text.
 * @throws RangeError when values are nested more than 64 deep.
 */
export function canonicalJson(value: unknown, depth = 0): string {
  if (depth > DEPTH_MAX) throw new RangeError('JSON is nested too deep');
  if (Array.isArray(value)) {
    return `[${value.map((each) => canonicalJson(each, depth + 1)).join(',')}]`;
  }
  if (typeof value !== 'object' || value === null) return scalar(value);
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member, depth + 1)}`);
  return `{${members.join(',')}}`;
}

function scalar(value: unknown): string {
  if (value === undefined) return 'null';
  return typeof value === 'bigint' ? `"${value.toString()}"` : JSON.stringify(value);
}
