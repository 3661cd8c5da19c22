import { keyNameHasher } from '@tidemark/crypto';
import { diffPoints, keyHistory } from '@tidemark/restorer';
import { shownKey } from '@tidemark/selector';
import { originalAddress, restoreEnvironment, withLease } from '@tidemark/workspace';
import { keyEventDocument, type KeyEventDocument } from '../../queries/key-events.ts';
import { maskedKeys } from '../../queries/masked.ts';
import { knownInstance } from '../../queries/known-instance.ts';
import type { Control } from '../../control.ts';
import { wrongField } from '../problem-types.ts';
import { instanceParams } from '../schemas/common.ts';
import {
  DiffBody,
  DiffSchema,
  HistorySchema,
  historyParams,
  historyQuery,
} from '../schemas/keys.ts';
import type { ApiApp, ApiPorts } from '../types.ts';
import { Gate } from './gate.ts';
import { pointOf, selectorOf } from './point-fields.ts';
import { callerSignal, secondOf } from './request-tools.ts';
import { openFresh } from './tde.ts';

const tags = ['keys'];
/** Below the time within which the server answers. */
const WORK_MS = 50_000;
const DIFFS_MAX = 2;
const HISTORIES_MAX = 8;
const LATENCY_MAX_MS = 5;

/** Adds the routes that look at keys, then and now. */
export function addKeyRoutes(app: ApiApp, ports: ApiPorts): void {
  addHistory(app, ports);
  addDiff(app, ports);
}

function addHistory(app: ApiApp, { control }: ApiPorts): void {
  const gate = new Gate(HISTORIES_MAX, 'searches');
  app.get(
    '/v1/instances/:instance/keys/:key/history',
    {
      config: { scope: 'key:read', problems: ['overloaded'] },
      schema: {
        operationId: 'getKeyHistory',
        summary: 'What the log says was done to a key.',
        description:
          'Nothing of values. Of an instance with TDE names of other keys are hashed. The key is given in base64url.',
        ...{ tags, params: historyParams, querystring: historyQuery },
        response: { 200: { description: 'In the order of the log.', ...HistorySchema } },
      },
    },
    async (request) => {
      const { instance, key } = request.params;
      const { start, end, at, database = null, limit = 100 } = request.query;
      if (at !== undefined && (start !== undefined || end !== undefined)) {
        throw wrongField('query/at', 'does not go with start and end');
      }
      const wanted = keyOf(key);
      const until = at ?? end;
      const window = {
        since: start === undefined ? null : secondOf(start, 'query/start'),
        until: until === undefined ? null : secondOf(until, 'query/end'),
      };
      const signal = callerSignal(request, WORK_MS);
      const { tde } = await openFresh(instance, control, signal);
      const isMasked = tde.state !== 'disabled';
      const search = { instance, key: wanted, db: database, window, snapshots: false };
      const hashOf = keyNameHasher(await control.workspace.keys.logKey(instance));
      const nameOf = isMasked ? hashOf : shownKey;
      const read = gate.through(() =>
        historyOf(search, { limit, lastOnly: at !== undefined, nameOf }, control, signal),
      );
      control.audit.append({
        ...{ actor: request.actor, action: 'key.history', instance, job: null },
        detail: hashOf(wanted), // an audit holds no dataset content
      });
      return { instance, masked: isMasked, ...(await read) };
    },
  );
}

interface Shown {
  readonly limit: number;
  /** Only the last event of each database: what the key was then. */
  readonly lastOnly: boolean;
  readonly nameOf: (key: Buffer) => string;
}

async function historyOf(
  search: Parameters<typeof keyHistory>[0],
  { limit, lastOnly, nameOf }: Shown,
  { workspace }: Pick<Control, 'workspace'>,
  signal: AbortSignal,
): Promise<{
  readonly events: readonly KeyEventDocument[];
  readonly limited: boolean;
  readonly readBytes: number;
}> {
  const history = keyHistory(search, quietEnvironment(workspace, signal));
  const lease = { instance: search.instance, fromSecond: search.window.since, isLong: false };
  return withLease(lease, workspace, NO_NOTES, async () => {
    let events: KeyEventDocument[] = [];
    for await (const batch of history) {
      for (const event of batch) {
        if (lastOnly) events = events.filter(({ db }) => db !== event.db);
        else if (events.length >= limit) {
          return { events, limited: true, readBytes: history.totals.readBytes };
        }
        events.push(keyEventDocument(event, nameOf));
      }
    }
    return { events, limited: false, readBytes: history.totals.readBytes };
  });
}

function addDiff(app: ApiApp, { control }: ApiPorts): void {
  const gate = new Gate(DIFFS_MAX, 'comparisons');
  app.post(
    '/v1/instances/:instance/diffs',
    {
      config: {
        scope: 'key:read',
        problems: ['overloaded', 'time-not-recoverable', 'tde-denied', 'node-unavailable'],
      },
      schema: {
        operationId: 'diffKeys',
        summary: 'What became of keys between two points, or between one and now.',
        description:
          'Both points are restored into scratch servers here. Of an instance with TDE names are hashed, and no value is shown.',
        ...{ tags, params: instanceParams, body: DiffBody },
        response: { 200: { description: 'Counts, and some of the keys.', ...DiffSchema } },
      },
    },
    async (request) => {
      const { instance } = request.params;
      const { from, to, values = false, limit = 20, ...fields } = request.body;
      const selector = selectorOf(fields);
      if (selector === null) throw wrongField('/filterKeys', 'say which keys are meant');
      const signal = callerSignal(request, WORK_MS);
      const { workspace } = control;
      const { tde } = await openFresh(instance, control, signal);
      knownInstance(workspace.catalog, instance);
      const isMasked = tde.state !== 'disabled';
      if (isMasked && values) {
        throw wrongField('/values', 'values of an instance with TDE are not shown');
      }
      const begin = pointOf(from);
      const until = to === 'live' ? await liveOf(instance, workspace) : pointOf(to);
      const wish = { instance, from: begin, to: until, selector, values, sampleMax: limit };
      const lease = { instance, fromSecond: null, isLong: true };
      const report = await gate.through(() =>
        withLease(lease, workspace, NO_NOTES, () =>
          diffPoints(wish, quietEnvironment(workspace, signal)),
        ),
      );
      control.audit.append({
        ...{ actor: request.actor, action: 'key.diff', instance, job: null },
        detail: values ? 'with values' : '',
      });
      if (!isMasked) return { ...report, masked: false };
      const { selected: _, sample, ...rest } = report;
      const hashOf = keyNameHasher(await workspace.keys.logKey(instance));
      return { ...rest, masked: true, sample: maskedKeys(sample, hashOf) };
    },
  );
}

async function liveOf(
  instance: string,
  { config }: Control['workspace'],
): Promise<Extract<Parameters<typeof diffPoints>[0]['to'], { readonly kind: 'live' }>> {
  const address = await originalAddress(instance, config);
  return { kind: 'live', server: { address, latencyMaxMs: LATENCY_MAX_MS, rate: null } };
}

/** What runs within a request tells nobody how far it is. */
export function quietEnvironment(
  workspace: Control['workspace'],
  signal: AbortSignal,
): ReturnType<typeof restoreEnvironment> {
  const quiet = (): void => undefined;
  return restoreEnvironment(workspace, { signal, onProgress: quiet, onVanishing: quiet });
}

/** A short request goes on without a lease: what is marked stays for the grace. */
export const NO_NOTES = { warn: (): void => undefined };

function keyOf(text: string): Buffer {
  const key = Buffer.from(text, 'base64url');
  if (key.toString('base64url') === text.replace(/=+$/, '')) return key;
  throw wrongField('path/key', 'is not base64url');
}
