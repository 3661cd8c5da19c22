import { selectorToJson, type SelectorSpec } from '@tidemark/selector';
import type { MissingKeys, TtlChoice, WantedPoint } from '@tidemark/restorer';
import type { Json } from '../../jobs/job.ts';
import { wrongField } from '../problem-types.ts';
import {
  pointOf,
  selectorOf,
  ttlOf,
  type PointBody,
  type SelectorBody,
  type TtlBody,
} from './point-fields.ts';

const KEYS_ADVISED = 10;
const PATTERNS_ADVISED = 3;

/** Names of files in the folder of secrets. */
interface TlsBody {
  readonly ca?: readonly string[];
  readonly cert?: string | null;
  readonly key?: string | null;
  readonly serverName?: string | null;
}

/** Where a restore goes; its shape was checked by the schema. */
export type TargetBody =
  | { readonly kind: 'original'; readonly onConflict?: 'skip' | 'overwrite' | 'fail' }
  | { readonly kind: 'new'; readonly port?: number }
  | {
      readonly kind: 'address';
      readonly url: string;
      readonly passwordRef?: string | null;
      readonly tls?: TlsBody | null;
      readonly allowFlush?: boolean;
    };

/** What is asked of a restore; its shape was checked by the schema. */
export interface RestoreBodyFields extends PointBody, SelectorBody, TtlBody {
  readonly target: TargetBody;
  readonly missingKeys?: MissingKeys;
  readonly withFunctions?: boolean;
  readonly withUsers?: boolean;
  readonly withSettings?: boolean;
  readonly verify?: 'stream' | 'full';
}

/** What of it a plan is made of. */
export interface RestoreWish {
  readonly point: WantedPoint;
  readonly selector: SelectorSpec | null;
  readonly ttl: TtlChoice;
  readonly missingKeys: MissingKeys;
  readonly target: TargetBody;
  readonly withFunctions: boolean;
  readonly verify: 'stream' | 'full' | null;
  /** Said of a selection that will take long. */
  readonly warnings: readonly string[];
}

/** A job that does it. */
export interface RestoreOrder {
  readonly kind: 'restore' | 'write-back';
  readonly request: Json;
}

/** Fields that mean nothing for the running original. */
const OF_OTHER_TARGETS = ['withFunctions', 'withUsers', 'withSettings', 'verify'] as const;

/**
 * Reads what is asked of a restore.
 * @throws ApiProblem `validation` with the pointer of what is wrong.
 */
export function wishOf(body: RestoreBodyFields, nowMs: number): RestoreWish {
  const { target, withFunctions = false, verify = null, missingKeys = 'delete' } = body;
  const point = pointOf(body);
  const selector = selectorOf(body);
  const ttl = ttlOf(body, point, selector !== null, nowMs);
  if (target.kind === 'original') {
    if (selector === null) {
      throw wrongField(
        '/filterKeys',
        'say which keys go into the original; a whole instance goes into a new server',
      );
    }
    for (const name of OF_OTHER_TARGETS) {
      if (body[name] !== undefined) throw wrongField(`/${name}`, 'does not go with the original');
    }
  } else if (body.missingKeys !== undefined) {
    throw wrongField('/missingKeys', 'belongs to the original');
  }
  if (withFunctions && selector === null) {
    throw wrongField('/withFunctions', 'belongs to selected keys: a whole restore has them anyway');
  }
  const warnings = adviceOn(body);
  return { ...{ point, selector, ttl, missingKeys, target, withFunctions, verify, warnings } };
}

/** The job of a wish, as the handlers of `restore` and `write-back` read it. */
export function orderOf(wish: RestoreWish, body: RestoreBodyFields): RestoreOrder {
  const { target, verify, withFunctions, missingKeys } = wish;
  const what = {
    point: pointJson(wish.point),
    selector: selectorJson(wish.selector),
    ttl: { ...wish.ttl },
  };
  if (target.kind === 'original') {
    const onConflict = target.onConflict ?? 'skip';
    return { kind: 'write-back', request: { ...what, onConflict, missingKeys } };
  }
  const { withUsers = false, withSettings = false } = body;
  const place =
    target.kind === 'new' ? { kind: target.kind, port: target.port ?? null } : addressJson(target);
  return {
    kind: 'restore',
    request: {
      ...{ ...what, target: place, withFunctions, withUsers, withSettings },
      ...(verify === null ? {} : { verify }),
      allowFlush: target.kind === 'address' && target.allowFlush === true,
    },
  };
}

/** A server as handlers read it. */
export function addressJson({
  url,
  passwordRef = null,
  tls = null,
}: Extract<TargetBody, { readonly kind: 'address' }>): Json {
  return { kind: 'address', url, passwordRef, tls: tls === null ? null : { ...tls } };
}

/** A point as handlers read it: offsets as digits. */
export function pointJson(point: WantedPoint): Json {
  switch (point.kind) {
    case 'second':
      return { kind: 'second', second: point.second, timeline: point.timeline ?? null };
    case 'backup':
      return { kind: 'backup', backup: point.backup };
    case 'latest':
      return { kind: 'latest' };
    case 'offset':
    case 'before':
      return {
        ...{ kind: point.kind, offset: point.offset.toString() },
        timeline: point.timeline,
      };
  }
}

/** A selection as handlers read it. */
export function selectorJson(selector: SelectorSpec | null): Json {
  return selector === null ? null : (selectorToJson(selector) as Json);
}

/** Not refused: it works, and takes its time. */
function adviceOn({
  filterKeys = [],
  filterRegexes = [],
  filterGlobs = [],
}: SelectorBody): readonly string[] {
  const patterns = filterRegexes.length + filterGlobs.length;
  const advised = (count: number, most: number, what: string): readonly string[] =>
    count <= most
      ? []
      : [`${count.toString()} ${what}: above ${most.toString()} a restore may take longer`];
  return [
    ...advised(filterKeys.length, KEYS_ADVISED, 'keys'),
    ...advised(patterns, PATTERNS_ADVISED, 'patterns'),
  ];
}
