import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Validator } from '@seriousme/openapi-schema-validator';
import { format, resolveConfig } from 'prettier';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { PROBLEMS } from '../../../services/control/src/api/problem-types.ts';
import { SCOPES } from '../../../services/control/src/api/types.ts';
import { operationsOf, type OpenApi } from '../../support/api-fuzz/document.ts';
import { ApiRun } from '../../support/api-run.ts';

const FILE = fileURLToPath(new URL('../../../docs/openapi.json', import.meta.url));
const GUIDE = fileURLToPath(new URL('../../../docs/api.md', import.meta.url));

let run: ApiRun;
let document: OpenApi;

beforeAll(async () => {
  run = await ApiRun.start({ limits: { eventLoopMs: 60_000 } });
  const answer = await run.ask('/openapi.json', { token: null });
  expect(answer.status).toBe(200);
  document = JSON.parse(answer.text) as OpenApi;
});
afterAll(async () => run[Symbol.asyncDispose]());

it('the document is valid OpenAPI 3.1', async () => {
  const validator = new Validator();
  expect(await validator.validate(structuredClone(document))).toEqual({ valid: true });
  expect(validator.version).toBe('3.1');
});

it('docs/openapi.json is what the server serves (renew it with: npx vitest run --project integration api-openapi -u)', async () => {
  const style = { ...(await resolveConfig(FILE)), parser: 'json' };
  await expect(await format(JSON.stringify(document), style)).toMatchFileSnapshot(FILE);
});

it('every route is documented: what is asked, what is answered, what is refused, and who may', () => {
  const operations = operationsOf(document);
  expect(operations.length).toBeGreaterThan(30);
  const ids = operations.map(({ operation }) => operation.operationId);
  expect(new Set(ids).size).toBe(ids.length);
  for (const { method, path, operation } of operations) {
    const where = `${method} ${path}`;
    expect([where, operation.summary], where).toEqual([where, expect.stringMatching(/.{8}/)]);
    expect([where, operation.tags?.length], where).toEqual([where, 1]);
    const codes = Object.keys(operation.responses);
    expect([where, codes.some((code) => /^2/.test(code)), codes.includes('default')]).toEqual([
      where,
      true,
      true,
    ]);
    for (const code of ['400', '429', '500', '503'])
      expect([where, codes]).toEqual([where, expect.arrayContaining([code])]);
    const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    const described = (operation.parameters ?? [])
      .filter((each) => each.in === 'path')
      .map(({ name }) => name);
    expect([where, described.sort()]).toEqual([where, names.sort()]);
    const scopes = (operation.security ?? []).flatMap((each) => Object.values(each).flat());
    expect([where, scopes.every((scope) => (SCOPES as readonly string[]).includes(scope))]).toEqual(
      [where, true],
    );
    if (path.startsWith('/v1'))
      expect([where, scopes.length, codes]).toEqual([
        where,
        2,
        expect.arrayContaining(['401', '403']),
      ]);
    if (['post', 'put', 'patch'].includes(method)) {
      expect([where, operation.requestBody !== undefined]).toEqual([where, true]);
      expect([where, codes]).toEqual([where, expect.arrayContaining(['413', '415', '422'])]);
    }
    if (codes.includes('202')) {
      const headers = (operation.parameters ?? []).filter((each) => each.in === 'header');
      expect([where, headers.map(({ name }) => name)]).toEqual([
        where,
        expect.arrayContaining(['Idempotency-Key']),
      ]);
    }
  }
});

it('the document has every route that the server has, and no other one', () => {
  // Calls in the style of the managed service are no part of the API: docs/compat.md.
  const known = run.api.routes.filter((route) => !route.includes(' /compat/')).map(pathOf);
  const documented = operationsOf(document).map(({ method, path }) => `${method} ${path}`);
  expect(documented.sort()).toEqual([...known].sort());
});

it('docs/api.md tells of every kind of problem', async () => {
  const guide = await readFile(GUIDE, 'utf8');
  const missing = Object.entries(PROBLEMS).filter(
    ([name, { status }]) => !new RegExp(`\\| \`${name}\` +\\| ${status} `).test(guide),
  );
  expect(missing).toEqual([]);
});

/** As the document writes it. */
function pathOf(route: string): string {
  const [method = '', url = ''] = route.split(' ');
  const path = url.replaceAll(/(?<!:):(\w+)(\([^)]*\))?/g, '{$1}').replaceAll('::', ':');
  return `${method.toLowerCase()} ${path}`;
}
