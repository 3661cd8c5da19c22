import type { Json } from './job.ts';

const CHARS_MAX = 400;

/**
 * What the audit says of a request beside its kind: where it goes, to which point, and whether that may be
 * emptied. No selector: it names keys. Nor who logs in.
 */
export function auditDetail(request: Json): string {
  const { target, point, source, allowFlush } = objectOf(request);
  const { kind, url } = objectOf(target);
  const at = objectOf(point ?? source);
  const moment = [at['kind'], at['second'] ?? at['backup'] ?? at['offset']];
  const said = [
    [kind, url]
      .filter(isShown)
      .map((each) => `target ${String(each)}`)
      .at(-1),
    moment.some(isShown) ? `point ${moment.filter(isShown).join(' ')}` : undefined,
    allowFlush === true ? 'flush' : undefined,
  ];
  return said
    .filter((each) => each !== undefined)
    .join(', ')
    .replace(/:\/\/[^\s/]*@/, '://')
    .slice(0, CHARS_MAX);
}

function objectOf(json: Json | undefined): { readonly [name: string]: Json } {
  const isObject = typeof json === 'object' && json !== null && !Array.isArray(json);
  return isObject ? (json as { readonly [name: string]: Json }) : {};
}

const isShown = (value: Json | undefined): value is string | number =>
  typeof value === 'string' || typeof value === 'number';
