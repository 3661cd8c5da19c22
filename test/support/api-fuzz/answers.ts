import { schemaFault } from '../json-schema.ts';
import type { OpenApi, Placed, Schema } from './document.ts';

/** What came back. */
export interface FuzzAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly text: string;
}

/** Holds answers against the document. */
export class AnswerChecker {
  readonly #document: OpenApi;
  readonly #known = new Map<string, Readonly<Record<string, unknown>>>();

  constructor(document: OpenApi) {
    this.#document = document;
  }

  /** @returns What is wrong with an answer; null = it is as documented. */
  faultOf({ operation, method, path }: Placed, asked: boolean, answer: FuzzAnswer): string | null {
    const { status, contentType, text } = answer;
    if (status >= 500 && status !== 503) return `status ${status}`;
    if (status >= 400 && contentType.startsWith('application/problem+json')) {
      return this.#fits('problem', { $ref: '#/components/schemas/Problem' }, text);
    }
    if (!asked) return `status ${status} for a method that is not there`;
    const response = operation.responses[status.toString()];
    if (response === undefined) return `status ${status} is not documented`;
    const [type, media] = Object.entries(response.content ?? {})[0] ?? [];
    if (type === undefined || media === undefined)
      return text === '' ? null : 'a body where none is documented';
    if (!contentType.startsWith(type)) return `${contentType}, documented is ${type}`;
    if (!type.includes('json')) return null;
    return this.#fits(`${method} ${path} ${status}`, media.schema, text);
  }

  #fits(name: string, schema: Schema, text: string): string | null {
    const known = this.#known.get(name) ?? (this.#resolved(schema) as Record<string, unknown>);
    this.#known.set(name, known);
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return `no JSON: ${text.slice(0, 200)}`;
    }
    const fault = schemaFault(known, value);
    return fault === null ? null : `${name}: ${fault}: ${text.slice(0, 400)}`;
  }

  #resolved(value: unknown): unknown {
    if (Array.isArray(value)) return value.map((each) => this.#resolved(each));
    if (typeof value !== 'object' || value === null) return value;
    const { $ref } = value as Schema;
    const name = $ref?.replace('#/components/schemas/', '');
    if (name !== undefined) return this.#resolved(this.#document.components.schemas[name] ?? {});
    return Object.fromEntries(
      Object.entries(value).map(([key, each]) => [key, this.#resolved(each)]),
    );
  }
}
