import type { RouteOptions } from 'fastify';

/** Which methods each path of the server has: a path that is known is answered 405, not 404. */
export class KnownPaths {
  readonly #paths = new Map<string, { readonly shape: RegExp; readonly methods: Set<string> }>();

  /** Notes a route. */
  add({ url, method }: Pick<RouteOptions, 'url' | 'method'>): void {
    let known = this.#paths.get(url);
    if (known === undefined) {
      known = { shape: shapeOf(url), methods: new Set() };
      this.#paths.set(url, known);
    }
    for (const each of Array.isArray(method) ? method : [method]) known.methods.add(each);
  }

  /** Every route that was noted: `GET /v1/jobs/:job`. */
  get all(): readonly string[] {
    return [...this.#paths].flatMap(([url, { methods }]) =>
      [...methods].map((method) => `${method} ${url}`),
    );
  }

  /** The methods of a path, sorted; none when it is not known. */
  methodsOf(path: string): readonly string[] {
    const methods = new Set<string>();
    for (const known of this.#paths.values()) {
      if (known.shape.test(path)) for (const each of known.methods) methods.add(each);
    }
    return [...methods].sort();
  }
}

/** `/v1/jobs/:job(^[^/:]+)::cancel` is the path `/v1/jobs/JOB:cancel`. */
function shapeOf(url: string): RegExp {
  const parts = url.split(/(::|:[A-Za-z]+(?:\([^)]*\))?)/).map((part) => {
    if (part === '::') return ':';
    return part.startsWith(':') ? '[^/]+' : part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
  });
  return new RegExp(`^${parts.join('')}$`);
}
