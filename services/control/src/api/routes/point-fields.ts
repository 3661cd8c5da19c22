import type { TtlChoice, WantedPoint } from '@tidemark/restorer';
import { compileSelector, keyOfText, type KeyRule, type SelectorSpec } from '@tidemark/selector';
import { wrongField } from '../problem-types.ts';
import { asField, secondOf } from './request-tools.ts';

/** How a body says which point in the past is meant; its shape was checked by the schema. */
export interface PointBody {
  readonly restoreType: 'backup' | 'pointInTime' | 'offset' | 'latest';
  readonly backupId?: string;
  readonly restoreTime?: string;
  readonly offset?: string;
  readonly timeline?: string;
}

/** How a body says which keys are meant. */
export interface SelectorBody {
  readonly filterKeys?: readonly string[];
  readonly filterRegexes?: readonly string[];
  readonly filterGlobs?: readonly string[];
  readonly databases?: readonly number[];
  readonly types?: readonly string[];
  readonly excludeKeys?: readonly string[];
  readonly excludeRegexes?: readonly string[];
  readonly excludeGlobs?: readonly string[];
  readonly excludeDatabases?: readonly number[];
  readonly excludeTypes?: readonly string[];
}

/** How a body says what becomes of expiry times. */
export interface TtlBody {
  readonly ttl?: {
    readonly mode: 'keep' | 'absolute' | 'remaining' | 'rebase' | 'shift' | 'persist';
    readonly to?: string;
    readonly shiftSeconds?: number;
  };
  readonly timeShift?: string;
}

const OF_TYPE = { backup: 'backupId', pointInTime: 'restoreTime', offset: 'offset' } as const;

/**
 * The point that a body names.
 * @throws ApiProblem `validation` with the pointer of what is missing, or does not belong to its type.
 */
export function pointOf(body: PointBody): WantedPoint {
  const { restoreType, backupId, restoreTime, offset, timeline } = body;
  for (const [type, field] of Object.entries(OF_TYPE)) {
    if (type !== restoreType && body[field] !== undefined) {
      throw wrongField(`/${field}`, `does not go with restoreType ${restoreType}`);
    }
  }
  const isPlaced = restoreType === 'pointInTime' || restoreType === 'offset';
  if (timeline !== undefined && !isPlaced) {
    throw wrongField('/timeline', `does not go with restoreType ${restoreType}`);
  }
  if (restoreType === 'latest') return { kind: 'latest' };
  if (restoreType === 'backup') {
    return { kind: 'backup', backup: given(backupId, '/backupId', restoreType) };
  }
  if (restoreType === 'offset') {
    const place = BigInt(given(offset, '/offset', restoreType));
    return { kind: 'offset', offset: place, timeline: timeline ?? null };
  }
  const text = given(restoreTime, '/restoreTime', restoreType);
  const second = secondOf(text, '/restoreTime');
  return { kind: 'second', second, timeline: timeline ?? null };
}

/**
 * The selection that a body names; null: every key.
 * @throws ApiProblem `validation`.
 */
export function selectorOf(body: SelectorBody): SelectorSpec | null {
  const include = rulesOf(body, 'filter');
  const exclude = rulesOf(body, 'exclude');
  const { databases, types, excludeDatabases = [], excludeTypes = [] } = body;
  // An empty list says which keys are meant: none of it.
  for (const name of [
    'filterKeys',
    'filterRegexes',
    'filterGlobs',
    'databases',
    'types',
  ] as const) {
    if (body[name]?.length === 0) throw wrongField(`/${name}`, 'is empty: leave it out for all');
  }
  const spec: SelectorSpec = {
    ...{ include, exclude, dbs: databases ?? null, excludeDbs: excludeDatabases },
    ...{ types: types ?? null, excludeTypes },
  };
  const count = include.length + exclude.length + excludeDatabases.length + excludeTypes.length;
  if (count === 0 && databases === undefined && types === undefined) return null;
  asField('', () => compileSelector(spec));
  return spec;
}

function rulesOf(body: SelectorBody, side: 'filter' | 'exclude'): KeyRule[] {
  const rules: KeyRule[] = [];
  body[`${side}Keys`]?.forEach((text, index) => {
    const key = asField(`/${side}Keys/${index.toString()}`, () => keyOfText(text));
    rules.push({ kind: 'key', key });
  });
  for (const [kind, list] of [
    ['regex', 'Regexes'],
    ['glob', 'Globs'],
  ] as const) {
    body[`${side}${list}`]?.forEach((pattern, index) => {
      const rule: KeyRule = { kind, pattern };
      asField(`/${side}${list}/${index.toString()}`, () => compileSelector(only(rule)));
      rules.push(rule);
    });
  }
  return rules;
}

function only(rule: KeyRule): SelectorSpec {
  return { include: [rule], exclude: [], dbs: null, excludeDbs: [], types: null, excludeTypes: [] };
}

/**
 * What becomes of expiry times; the default is `remaining` for selected keys, else `absolute`.
 * @param nowMs - timeShift may not lie after it.
 * @throws ApiProblem `validation`.
 */
export function ttlOf(
  { ttl, timeShift }: TtlBody,
  point: WantedPoint,
  ofKeys: boolean,
  nowMs: number,
): TtlChoice {
  if (timeShift !== undefined) {
    if (ttl !== undefined) throw wrongField('/timeShift', 'ttl says it already');
    return shiftedTo(timeShift, point, ofKeys, nowMs);
  }
  if (ttl === undefined) return { mode: ofKeys ? 'remaining' : 'absolute' };
  const { mode, to, shiftSeconds } = ttl;
  if (mode !== 'rebase' && to !== undefined) throw wrongField('/ttl/to', 'belongs to rebase');
  if (mode !== 'shift' && shiftSeconds !== undefined) {
    throw wrongField('/ttl/shiftSeconds', 'belongs to shift');
  }
  if (mode === 'rebase') {
    // The whole of the second counts, as in restoreTime.
    const toMs = secondOf(given(to, '/ttl/to', mode), '/ttl/to') * 1000 + 999;
    return { mode, toMs };
  }
  if (mode === 'shift') {
    if (shiftSeconds === undefined) throw wrongField('/ttl/shiftSeconds', 'is missing');
    return { mode, byMs: shiftSeconds * 1000 };
  }
  return { mode: mode === 'keep' ? 'absolute' : mode };
}

/** As the managed service has it: of keys only, between the wanted second and now. */
function shiftedTo(
  timeShift: string,
  point: WantedPoint,
  ofKeys: boolean,
  nowMs: number,
): TtlChoice {
  const second = secondOf(timeShift, '/timeShift');
  if (!ofKeys) throw wrongField('/timeShift', 'belongs to selected keys');
  const isEarlier = point.kind === 'second' && second < point.second;
  if (isEarlier || second * 1000 > nowMs) {
    throw wrongField('/timeShift', 'lies not between restoreTime and now');
  }
  return { mode: 'rebase', toMs: second * 1000 + 999 };
}

function given(value: string | undefined, pointer: string, type: string): string {
  if (value !== undefined) return value;
  throw wrongField(pointer, `is missing: ${type} needs it`);
}
