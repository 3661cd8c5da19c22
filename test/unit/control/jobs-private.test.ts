import { readFile } from 'node:fs/promises';
import { createInstance, EMPTY_INSTANCE_STATE } from '@tidemark/catalog';
import type { Job, JobHandler, JobKind, Json } from '@tidemark/control';
import { IntegrityError, PlanError, UsageError } from '@tidemark/core';
import { sealJobMessage } from '@tidemark/crypto';
import { systemClock, systemRandom } from '@tidemark/system';
import type { Workspace } from '@tidemark/workspace';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { jobDocument } from '../../../services/control/src/api/routes/job-document.ts';
import { InstanceClaims } from '../../../services/control/src/jobs/instance-claims.ts';
import { JobRunner } from '../../../services/control/src/jobs/job-runner.ts';
import {
  namelessHandler,
  privateHandler,
} from '../../../services/control/src/jobs/private-handler.ts';
import { ALICE, idleHandler, openDesk, QUIET, type DeskRun } from '../../support/job-desk.ts';
import { LOG_KEY } from '../../support/log-events.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { TempDir } from '../../support/temp-dir.ts';

const parts = { keys: { logKey: () => Promise.resolve(LOG_KEY) }, random: systemRandom };
const NAME = 'needle-of-a-key';
const SECRET = {
  selector: { include: [{ kind: 'key', key: NAME }] },
  target: { url: 'redis://x' },
};
/** In clear, and as JSON of a selector has it. */
const FORMS = [NAME, Buffer.from(NAME).toString('base64'), Buffer.from(NAME).toString('hex')];

/** What every kind may tell, each place with a name in it that was not asked for. */
const RESULT = {
  ...{ id: 'rs-1', keys: 3, backup: 'bk_1', name: 'clone', purged: 1, objects: 4, rewrapped: 5 },
  ...{ vanishingSample: [NAME], writtenSample: [NAME], left: [{ key: NAME }], selected: NAME },
  ...{ faults: [{ key: NAME }], sample: [NAME], [NAME]: 1, key: { keyId: 'k', text: NAME } },
  selection: { keys: NAME, followed: 1, everything: { upTo: '1', key: NAME } },
  skip: { wrote: [NAME], wroteCount: 1, readers: [NAME] },
  marked: { steps: [{ shard: 's0', key: NAME, floor: { key: NAME } }], [NAME]: 2 },
  standing: NAME,
};
const KINDS: readonly JobKind[] = [
  ...(['backup', 'restore', 'write-back', 'clone', 'rebuild', 'rewrap'] as const),
  ...(['verify', 'expire', 'clear-data', 'purge-expired'] as const),
];

const order = (request: Json): Parameters<JobHandler['check']>[0] => ({
  ...{ kind: 'restore', instance: 'inst', request, actor: ALICE },
});
const jobOf = (request: Json, id = 'job-1'): Job =>
  ({ id, kind: 'restore', instance: 'inst', request }) as unknown as Job;

interface Seen {
  readonly request: Json;
  readonly checkpoint: Json;
}

/** Runs an attempt; what the handler saw, and what it kept as it is kept. */
async function attempt(
  job: Job,
  checkpoint: Json,
  next?: Json,
): Promise<{ readonly seen: Seen | null; readonly kept: Json }> {
  const out: { seen: Seen | null; kept: Json } = { seen: null, kept: null };
  const handler = privateHandler(
    idleHandler('restore', {
      run: async (context) => {
        out.seen = { request: context.job.request, checkpoint: context.checkpoint };
        if (next !== undefined) await context.keep(next);
        return { state: 'succeeded', result: null };
      },
    }),
    parts,
  );
  const quiet = { progress: () => undefined, log: () => undefined };
  const { signal } = new AbortController();
  await handler.run({
    ...{ job, signal, checkpoint, ...quiet },
    keep: (kept) => Promise.resolve(void (out.kept = kept)),
  });
  return out;
}

describe('what a job keeps', () => {
  const handler = privateHandler(
    idleHandler('restore', {
      exclusive: ({ request }) => `target:${(request as typeof SECRET).target.url}`,
    }),
    parts,
  );

  it('of its request is sealed, but for what it may not run beside', async () => {
    const request = await handler.check(order(SECRET));
    expect(Object.keys(request as object)).toEqual(['sealed', 'exclusive']);
    for (const form of FORMS) expect(JSON.stringify(request)).not.toContain(form);
    expect(handler.exclusive(order(request))).toBe('target:redis://x');
    const { seen } = await attempt(jobOf(request), null);
    expect(seen?.request).toEqual(SECRET);
  });

  it('of its attempts is sealed, for that job alone; that there is nothing is in clear', async () => {
    const request = await handler.check(order(SECRET));
    const { kept } = await attempt(jobOf(request), null, { at: NAME });
    expect(JSON.stringify(kept)).not.toContain(NAME);
    expect((await attempt(jobOf(request), kept)).seen?.checkpoint).toEqual({ at: NAME });
    const other = attempt(jobOf(request, 'job-2'), kept);
    await expect(other).rejects.toBeInstanceOf(IntegrityError);
    expect((await attempt(jobOf(request), kept, null)).kept).toBeNull();
  });

  it('is read as earlier versions kept it', async () => {
    const plain = Buffer.from(JSON.stringify(SECRET.selector));
    const sealed = sealJobMessage(LOG_KEY, systemRandom, 'request/inst', plain);
    const old = { ...SECRET, selector: { sealed: sealed.toString('base64') } };
    for (const request of [old, SECRET]) {
      const { seen } = await attempt(jobOf(request), { restore: 'rs-1' });
      expect(seen).toEqual({ request: SECRET, checkpoint: { restore: 'rs-1' } });
      expect(handler.exclusive(order(request))).toBe('target:redis://x');
    }
    const lost = await attempt(jobOf({ goOn: 'rs-1' }), null);
    expect(lost.seen?.request).toEqual({ goOn: 'rs-1' });
  });

  it('has a limit', async () => {
    const long = { selector: 'x'.repeat(512 * 1024), target: { url: '' } };
    await expect(handler.check(order(long))).rejects.toMatchObject({
      ...{ code: 'TM_USAGE', context: { pointer: '/selector' } },
    });
  });
});

describe('a host that does jobs of every kind', () => {
  let dir: TempDir;
  let run: DeskRun;
  const over = new AbortController();
  let ran: Promise<void>;
  let told = '';

  beforeEach(async () => {
    dir = await TempDir.create();
    const store = new MemoryStore();
    const clock = systemClock;
    const log = { store, iid: 'inst', logKey: LOG_KEY, clock, random: systemRandom };
    await createInstance({ ...log, name: 'inst', createdMs: 0 });
    const handlers = KINDS.map((kind) => {
      const handler = idleHandler(kind, {
        run: async (context) => {
          if (isSealedKind(kind)) await context.keep({ at: NAME });
          if (kind === 'purge-expired') throw new SyntaxError(`Unexpected token in "${NAME}"`);
          if (kind === 'write-back') {
            throw new PlanError('TM_WRITE_CONFLICT', `key ${NAME} of database 0: is another`, {
              context: { db: 0, key: NAME },
            });
          }
          return { state: 'succeeded', result: RESULT };
        },
      });
      return isSealedKind(kind) ? privateHandler(handler, parts) : namelessHandler(handler);
    });
    run = openDesk(dir.path, clock, { handlers });
    const catalog = { instances: () => [{ ...EMPTY_INSTANCE_STATE }] };
    const workspace = { store, keys: parts.keys, catalog } as unknown as Workspace;
    const tell = (message: string, fields: object = {}): void =>
      void (told += `${message} ${JSON.stringify(fields)}\n`);
    const logger = { ...QUIET, info: tell, warn: tell, error: tell };
    ran = new JobRunner({
      ...{ desk: run.desk, rows: run.rows, clock, logger, worker: 'h1.1', concurrency: 3 },
      claims: new InstanceClaims(workspace, clock, systemRandom),
      timing: { claimMs: 5_000, beatMs: 100, pollMs: 10 },
    }).run(over.signal);
  });

  afterEach(async () => {
    over.abort(new Error('the test is over'));
    await ran;
    run[Symbol.dispose]();
    await dir[Symbol.asyncDispose]();
  });

  it('leaves no name in its database, logs, audit, problems and answers', async () => {
    const { desk, audit } = run;
    for (const kind of KINDS) {
      const request: Json = isSealedKind(kind) ? SECRET : {};
      const key = { actor: 'token:alice', key: `key of ${kind}` };
      const asked = { kind, instance: 'inst', request, actor: ALICE };
      const { id } = await desk.submit(asked, key);
      // The same order again is known by its key: whatever it was sealed with.
      expect((await desk.submit(asked, key)).id).toBe(id);
      for await (const { job } of desk.follow(id, 0, AbortSignal.timeout(15_000))) {
        told += JSON.stringify(jobDocument(job));
      }
      const job = desk.get(id);
      const fails = kind === 'purge-expired' || kind === 'write-back';
      expect(job.state, kind).toBe(fails ? 'failed' : 'succeeded');
      if (job.state === 'succeeded') expect(job.result).not.toEqual({});
      told += JSON.stringify([job.result, job.problem, desk.lines(id, 0, 100)]);
    }
    told += JSON.stringify(audit.list({ pageSize: 500 }));
    const files = [run.path, `${run.path}-wal`].map((path) => readFile(path));
    const kept = Buffer.concat(await Promise.all(files));
    expect(kept.includes('needle')).toBe(false);
    for (const form of FORMS) {
      expect(kept.includes(form), form).toBe(false);
      expect(told).not.toContain(form);
    }
    expect(told).toContain('job.submit.write-back');
    expect(told).toContain('a key of database 0: is another');
  });

  it('refuses what is asked of it without a trace', async () => {
    const refusing = idleHandler('clone', {
      check: () => {
        throw new UsageError('TM_USAGE', 'no', { context: { pointer: `/${NAME}` } });
      },
    });
    run.desk.use(privateHandler(refusing, parts));
    const asked = { kind: 'clone', instance: 'inst', request: SECRET, actor: ALICE } as const;
    await expect(run.desk.submit(asked)).rejects.toMatchObject({ code: 'TM_USAGE' });
    expect(run.desk.list({ pageSize: 10 }).jobs).toEqual([]);
  });
});

function isSealedKind(kind: JobKind): boolean {
  return ['restore', 'write-back', 'clone', 'rebuild'].includes(kind);
}
