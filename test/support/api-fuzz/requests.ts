import type { Dice } from './dice.ts';
import type { Operation, Parameter, Placed } from './document.ts';
import { fitting, NASTY, spoiled, type Hints } from './values.ts';

/** A request as it is sent. */
export interface MadeRequest {
  readonly placed: Placed;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
  /** Answers of success would be wrong: the caller may not, or the request cannot be read. */
  readonly hopeless: string | null;
}

/** Callers of every kind. */
export interface Callers {
  readonly all: string;
  /** By the one scope they hold. */
  readonly narrow: Readonly<Record<string, string>>;
  readonly refused: readonly string[];
}

/** Each of these reads an archive to its end: the others are asked more often. */
const COSTLY = new Set(['planRestore', 'diffKeys']);

/** Makes requests of a document, right ones and every kind of wrong one. */
export class RequestMaker {
  readonly #dice: Dice;
  readonly #operations: readonly Placed[];
  readonly #callers: Callers;
  readonly #keys: string[] = [];
  readonly hints: Record<string, unknown[]>;

  constructor(dice: Dice, operations: readonly Placed[], callers: Callers, hints: Hints) {
    this.#dice = dice;
    this.#operations = operations;
    this.#callers = callers;
    this.hints = Object.fromEntries(
      Object.entries(hints).map(([name, known]) => [name, [...known]]),
    );
  }

  next(): MadeRequest {
    const dice = this.#dice;
    const first = dice.pick(this.#operations);
    const isCostly = COSTLY.has(first.operation.operationId ?? '');
    const placed = isCostly && dice.chance(0.85) ? dice.pick(this.#operations) : first;
    const { operation } = placed;
    const reasons: string[] = [];
    // Most requests have one fault, so that it is seen by what lies behind the first check.
    const faulty = dice.chance(0.75)
      ? dice.pick(['path', 'query', 'headers', 'token', 'body', 'body', 'method'])
      : 'none';
    const headers = this.#headers(operation, faulty, reasons);
    this.#token(operation, faulty, headers, reasons);
    const path = this.#path(placed, faulty === 'path') + this.#query(operation, faulty === 'query');
    const body = this.#body(operation, faulty === 'body', headers, reasons);
    const method =
      faulty === 'method'
        ? dice.pick(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
        : placed.method.toUpperCase();
    const sent = method === 'GET' ? null : body;
    return { placed, method, path, headers, body: sent, hopeless: reasons[0] ?? null };
  }

  #path({ path, operation }: Placed, faulty: boolean): string {
    const parameters = (operation.parameters ?? []).filter((each) => each.in === 'path');
    const target = faulty && parameters.length > 0 ? this.#dice.pick(parameters) : null;
    return path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
      const parameter = parameters.find((each) => each.name === name)!;
      const own = `${name} of ${operation.operationId}`;
      const known = this.hints[own] === undefined ? name : own;
      if (parameter !== target)
        return encodeURIComponent(String(fitting(parameter.schema, known, this.#dice, this.hints)));
      return this.#dice.pick([
        () => encoded(this.#dice.pick(NASTY)),
        () => '%2e%2e%2f%2e%2e',
        () => '%zz',
        () => 'a'.repeat(this.#dice.pick([65, 700, 5000])),
        () => '%00',
        () => '',
      ])();
    });
  }

  #query({ parameters = [] }: Operation, faulty: boolean): string {
    const pairs: string[] = [];
    for (const parameter of parameters.filter((each) => each.in === 'query')) {
      if (parameter.required === true || this.#dice.chance(0.3)) pairs.push(this.#pair(parameter));
    }
    if (faulty) pairs.push(this.#wrongPair(parameters.filter((each) => each.in === 'query')));
    return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
  }

  #pair({ name, schema }: Parameter): string {
    return `${name}=${encoded(String(fitting(schema, name, this.#dice, this.hints)))}`;
  }

  #wrongPair(known: readonly Parameter[]): string {
    const name =
      known.length > 0 && this.#dice.chance(0.7) ? this.#dice.pick(known).name : 'unknown';
    const value = encoded(this.#dice.pick([...NASTY, 'x'.repeat(2000)]));
    return this.#dice.pick([
      `${name}=${value}`,
      `${name}=${value}&${name}=1`,
      `${name}[]=${value}`,
      name,
      `%zz=${value}`,
      `__proto__=${value}`,
    ]);
  }

  #headers(operation: Operation, faulty: string, reasons: string[]): Record<string, string> {
    const dice = this.#dice;
    const headers: Record<string, string> = {};
    for (const { name, schema, required } of operation.parameters?.filter(
      (each) => each.in === 'header',
    ) ?? []) {
      const isKey = name === 'Idempotency-Key';
      if (faulty === 'headers' && dice.chance(0.6)) {
        const wrong = dice.pick([null, 'x'.repeat(dice.pick([129, 3000])), 'a b', '\u00e9']);
        if (wrong !== null) headers[name] = wrong;
        if (isKey) reasons.push('a bad Idempotency-Key');
        continue;
      }
      if (required !== true && dice.chance(0.5)) continue;
      headers[name] = isKey ? this.#key() : String(fitting(schema, name, dice, this.hints));
    }
    if (faulty === 'headers') headers['x-request-id'] = dice.pick(['x'.repeat(300), '<b>', 'ok-1']);
    return headers;
  }

  #key(): string {
    if (this.#keys.length > 0 && this.#dice.chance(0.2)) return this.#dice.pick(this.#keys);
    const key = `k${this.#keys.length}-${this.#dice.int(0, 1e9)}`;
    this.#keys.push(key);
    return key;
  }

  #token(
    operation: Operation,
    faulty: string,
    headers: Record<string, string>,
    reasons: string[],
  ): void {
    const [wanted] = (operation.security ?? []).flatMap((each) => Object.values(each).flat());
    const { all, narrow, refused } = this.#callers;
    if (faulty !== 'token') {
      headers['authorization'] = `Bearer ${all}`;
      return;
    }
    if (wanted !== undefined && this.#dice.chance(0.5)) {
      const [scope, token] = this.#dice.pick(Object.entries(narrow));
      headers['authorization'] = `Bearer ${token}`;
      if (!heldBy(scope).includes(wanted)) reasons.push(`a token with the scope ${scope} only`);
      return;
    }
    if (wanted !== undefined) reasons.push('no valid token');
    const wrong = this.#dice.pick([
      null,
      'Basic YTpi',
      'Bearer',
      `Bearer ${all} ${all}`,
      ...refused.map((each) => `Bearer ${each}`),
    ]);
    if (wrong !== null) headers['authorization'] = wrong;
  }

  #body(
    operation: Operation,
    faulty: boolean,
    headers: Record<string, string>,
    reasons: string[],
  ): string | null {
    const schema = operation.requestBody?.content['application/json']?.schema;
    if (schema === undefined) return null;
    headers['content-type'] = 'application/json';
    const value = fitting(schema, `body of ${operation.operationId}`, this.#dice, this.hints);
    if (!faulty) return JSON.stringify(value);
    const wrong = this.#dice.int(0, 9);
    if (wrong === 0) {
      headers['content-type'] = this.#dice.pick([
        'text/plain',
        'application/xml',
        'application/x-www-form-urlencoded',
        'x',
      ]);
      reasons.push('a body of another type');
      return JSON.stringify(value);
    }
    if (wrong === 1) {
      reasons.push('a body that is no JSON');
      return this.#dice.pick([
        '{',
        `${JSON.stringify(value)}x`,
        '{"a":1,}',
        '\u0000',
        "{'a':1}",
        'NaN',
        '[1',
        '{"a":"\n"}',
      ]);
    }
    if (wrong === 2) {
      reasons.push('a body that is no object');
      return this.#dice.pick([
        `${'['.repeat(50_000)}${']'.repeat(50_000)}`,
        '[]',
        '7',
        '"x"',
        'null',
        '{"__proto__":{"a":1}}',
      ]);
    }
    if (wrong === 3) {
      reasons.push('a field that is not known');
      return JSON.stringify({
        ...(value as object),
        [this.#dice.pick(['unknown', 'Target', 'sudo', 'id '])]: 1,
      });
    }
    return JSON.stringify(spoiled(value, this.#dice));
  }
}

function heldBy(scope: string): readonly string[] {
  if (scope === 'admin') return ['admin', 'read', 'backup', 'restore'];
  return scope === 'backup' || scope === 'restore' ? [scope, 'read'] : [scope];
}

/** A lone surrogate has no encoding of its own. */
function encoded(text: string): string {
  return encodeURIComponent(
    text.replaceAll(/[\ud800-\udfff]/g, (half) => (half.length === 1 ? '\ufffd' : half)),
  );
}
