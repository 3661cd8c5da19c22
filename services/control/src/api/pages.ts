import { ApiProblem } from './problem-types.ts';

const PAGE_MAX = 500;
const PAGE_DEFAULT = 50;

/** Query parameters of every list. */
export const pageQuery = {
  pageSize: {
    type: 'integer',
    minimum: 1,
    maximum: PAGE_MAX,
    default: PAGE_DEFAULT,
    description: 'How many at most.',
  },
  pageToken: {
    type: 'string',
    minLength: 1,
    maxLength: 512,
    pattern: '^[A-Za-z0-9_.~=-]+$',
    description: 'nextPageToken of the answer before.',
  },
} as const;

/** Which part of a list is asked for. */
export interface PageQuestion {
  readonly pageSize?: number;
  readonly pageToken?: string;
}

/** A part of a list. */
export interface Page<T> {
  readonly items: readonly T[];
  /** Null: that was the last one. */
  readonly nextPageToken: string | null;
}

/** Makes an opaque token of the place where the next page begins. */
export function pageToken(place: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(place)).toString('base64url');
}

/**
 * Reads a token of `pageToken`.
 * @param count - How many parts it has.
 * @throws ApiProblem `bad-request` when it is none.
 */
export function readPageToken(token: string, count: number): readonly (string | number)[] {
  let place: unknown;
  try {
    place = JSON.parse(Buffer.from(token, 'base64url').toString('utf8'));
  } catch {
    place = null;
  }
  const isPart = (part: unknown): part is string | number =>
    typeof part === 'string' || (typeof part === 'number' && Number.isSafeInteger(part));
  if (Array.isArray(place) && place.length === count && place.every(isPart)) return place;
  const detail = 'no nextPageToken of an answer';
  throw new ApiProblem('bad-request', detail, { faults: [{ pointer: 'query/pageToken', detail }] });
}

/**
 * Cuts a page out of a list that is sorted, by the id of the last item before it: items that come and go
 * meanwhile move no other one to another page.
 * @param idOf - Unique in the list. A token whose item went away begins after the last smaller or greater one,
 *   as the list is sorted by `after`.
 * @param after - Whether an item stands behind the place of this id.
 */
export function pageOf<T>(
  items: readonly T[],
  question: PageQuestion,
  idOf: (item: T) => string,
  after: (item: T, id: string) => boolean,
): Page<T> {
  const size = question.pageSize ?? PAGE_DEFAULT;
  let begin = 0;
  if (question.pageToken !== undefined) {
    const [id] = readPageToken(question.pageToken, 1);
    const at = items.findIndex((item) => after(item, String(id)));
    begin = at === -1 ? items.length : at;
  }
  const page = items.slice(begin, begin + size);
  const last = page.at(-1);
  const more = last !== undefined && begin + size < items.length;
  return { items: page, nextPageToken: more ? pageToken([idOf(last)]) : null };
}
