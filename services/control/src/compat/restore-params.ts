import type { TtlChoice, WantedPoint } from '@tidemark/restorer';
import { compileSelector, keyOfText, selectorToJson, type KeyRule } from '@tidemark/selector';
import { TidemarkError } from '@tidemark/core';
import type { Json } from '../jobs/job.ts';
import { invalid, type CompatParams } from './compat-params.ts';

const RULES_MAX = 1000;
const BACKUP = /^[a-z0-9][a-z0-9_-]{0,62}$/;
/** What makes a pattern of a name: the repetitions and classes of the rules, not the point alone. */
const PATTERN = /[*?[]/;

/** What to go back to: a backup (`RestoreType` 0) or a second (1). */
export function pointOfCall(params: CompatParams): WantedPoint {
  const second = params.second('RestoreTime');
  const backup = params.text('BackupId');
  const type = params.oneOf('RestoreType', ['0', '1']) ?? (second === undefined ? '0' : '1');
  if (type === '1') {
    if (backup !== undefined) throw invalid('BackupId', 'does not go with RestoreType 1');
    if (second === undefined) throw invalid('RestoreTime', 'is missing');
    return { kind: 'second', second };
  }
  if (second !== undefined) throw invalid('RestoreTime', 'does not go with RestoreType 0');
  if (backup === undefined) throw invalid('BackupId', 'is missing');
  if (!BACKUP.test(backup)) throw invalid('BackupId', 'is no id of a backup');
  return { kind: 'backup', backup };
}

/** Keys and patterns, with commas between them; null: none. A comma in a name is `\x2c`. */
export function selectorOfCall(params: CompatParams): Json {
  const text = params.text('FilterKey');
  if (text === undefined) return null;
  const parts = text.split(',').filter((part) => part !== '');
  if (parts.length === 0) throw invalid('FilterKey', 'names no key');
  if (parts.length > RULES_MAX) throw invalid('FilterKey', `names more than ${RULES_MAX} keys`);
  try {
    const include = parts.map((part): KeyRule =>
      PATTERN.test(part) ? { kind: 'regex', pattern: part } : { kind: 'key', key: keyOfText(part) },
    );
    const spec = {
      ...{ include, exclude: [], dbs: null, excludeDbs: [], types: null, excludeTypes: [] },
    };
    compileSelector(spec);
    return selectorToJson(spec) as Json;
  } catch (cause) {
    if (!(cause instanceof TidemarkError)) throw cause;
    throw invalid('FilterKey', cause.message);
  }
}

/** `TimeShift`: what was left to live at the wanted second is left from this time on. */
export function shiftOfCall(params: CompatParams, point: WantedPoint, nowMs: number): TtlChoice {
  const second = params.second('TimeShift');
  if (second === undefined) return { mode: 'remaining' };
  const isEarlier = point.kind === 'second' && second < point.second;
  if (isEarlier || second * 1000 > nowMs) {
    throw invalid('TimeShift', 'lies not between RestoreTime and now');
  }
  return { mode: 'rebase', toMs: second * 1000 + 999 };
}
