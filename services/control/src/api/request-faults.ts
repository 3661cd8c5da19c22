import type { FastifyError } from 'fastify';
import type { Fault } from './problem-types.ts';
import { digits, instanceId, time } from './schemas/common.ts';

const FAULTS_MAX = 32;

/** What the validator found, as fastify hands it over. */
export type Validation = NonNullable<FastifyError['validation']>;
type Found = Validation[number];

/** What a text should have been, instead of the pattern that it does not fit. */
const FORMS: Readonly<Record<string, string>> = {
  [time.pattern]: 'is no time: write 2026-11-19T11:02:10Z, or an offset such as +08:00 for the Z',
  [instanceId.pattern]: 'is no id: lower-case letters, digits and hyphens, at most 63',
  [digits.pattern]: 'is no 64-bit number as a string of digits',
};

/**
 * What is wrong with a request, field by field.
 *
 * A field that may have one of several shapes is held against each by the validator; told is only what
 * is wrong with the shape that its `kind` names, or which kinds there are.
 * @param part - `params`, `headers`, `querystring`; absent or `body`: the body.
 */
export function faultsOf(validation: Validation, part: string | undefined): readonly Fault[] {
  const inBody = part === undefined || part === 'body';
  const faults = dropEchoes(chooseShapes(validation)).map((found): Fault => {
    const { missingProperty, additionalProperty } = found.params;
    const name = missingProperty ?? additionalProperty;
    const pointer =
      found.instancePath + (typeof name === 'string' ? `/${escapePointer(name.slice(0, 64))}` : '');
    return { pointer: inBody ? pointer : `${placeOf(part)}${pointer}`, detail: textOf(found) };
  });
  // Several shapes have the same fault.
  const told = new Map(faults.map((fault) => [`${fault.pointer} ${fault.detail}`, fault]));
  return [...told.values()].slice(0, FAULTS_MAX);
}

/** Of the shapes of a field the one that is meant; of none of them, the words that its `kind` may be. */
function chooseShapes(validation: Validation): Validation {
  let found = validation;
  for (const { keyword, schemaPath, instancePath } of validation) {
    if (keyword !== 'anyOf') continue;
    const place = `${schemaPath}/`;
    const inside = found.filter((one) => one.schemaPath.startsWith(place));
    if (inside.length === 0) continue;
    const shapeOf = (one: Found): string =>
      one.schemaPath.slice(place.length).split('/', 1)[0] ?? '';
    const others = inside.filter(({ keyword: each }) => each === 'const');
    const unlike = new Set(others.map(shapeOf));
    const unnamed = inside.filter(({ params }) => params['missingProperty'] === 'kind');
    const meant = unnamed.length > 0 ? unnamed : inside.filter((one) => !unlike.has(shapeOf(one)));
    const [first] = others;
    const told =
      meant.length > 0 || first === undefined ? meant : [{ ...first, ...kindsOf(others) }];
    const kept = found.filter(
      (one) =>
        !inside.includes(one) &&
        !(
          one.keyword === 'anyOf' &&
          one.schemaPath === schemaPath &&
          one.instancePath === instancePath
        ),
    );
    found = [...kept, ...(told.length > 0 ? told : inside)];
  }
  return found;
}

function kindsOf(others: readonly Found[]): Pick<Found, 'keyword' | 'params'> {
  const allowedValues = [...new Set(others.map(({ params }) => String(params['allowedValue'])))];
  return { keyword: 'enum', params: { allowedValues } };
}

/** The length of a text says nothing where its form is wrong. */
function dropEchoes(validation: Validation): Validation {
  const misshapen = new Set(
    validation.filter(({ keyword }) => keyword === 'pattern').map((one) => one.instancePath),
  );
  return validation.filter(
    ({ keyword, instancePath }) =>
      !(misshapen.has(instancePath) && (keyword === 'minLength' || keyword === 'maxLength')),
  );
}

function placeOf(part: string): string {
  if (part === 'params') return 'path';
  return part === 'headers' ? 'header' : 'query';
}

function textOf({ keyword, message, params }: Found): string {
  const { allowedValues, pattern } = params;
  if (keyword === 'additionalProperties') return 'is not known';
  if (keyword === 'required') return 'is missing';
  if (Array.isArray(allowedValues)) return `must be one of ${allowedValues.join(', ')}`;
  const form = typeof pattern === 'string' ? FORMS[pattern] : undefined;
  return form ?? message ?? 'is wrong';
}

/** RFC 6901. */
function escapePointer(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}
