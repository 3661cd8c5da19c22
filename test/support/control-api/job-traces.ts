import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RoutesRun } from '../routes-run.ts';

/** What is left of the requests that a host was sent. */
export interface JobTraces {
  readonly kinds: readonly string[];
  /** The database of jobs, byte for byte. */
  readonly kept: string;
  /** Jobs with their events and logs as who reads jobs is shown them, the audit, and what was logged. */
  readonly shown: string;
}

/** Gathers every trace of the jobs of a host. */
export async function jobTraces({ api, tidemark }: RoutesRun): Promise<JobTraces> {
  const token = await api.tokenOf('watcher', 'read');
  const { body } = await api.ask('/v1/jobs?pageSize=500', { token });
  const shown = [JSON.stringify([body, api.log])];
  const jobs = body?.['jobs'] as readonly {
    readonly kind: string;
    readonly links: Readonly<Record<'self' | 'logs' | 'events', string>>;
  }[];
  for (const { links } of jobs) {
    for (const path of [links.self, links.logs, `${links.events}?after=0`]) {
      shown.push((await api.ask(path, { token })).text);
    }
  }
  shown.push((await api.ask('/v1/audit?pageSize=500')).text);
  const files = ['control.db', 'control.db-wal'].map((name) =>
    readFile(join(tidemark.dir, 'state', name), 'latin1'),
  );
  return {
    kinds: jobs.map(({ kind }) => kind),
    kept: (await Promise.all(files)).join(''),
    shown: shown.join('\n'),
  };
}

/** Texts as they are, and as hex and base64. */
export function formsOf(texts: readonly string[]): readonly string[] {
  return texts.flatMap((text) => [
    text,
    Buffer.from(text).toString('hex'),
    Buffer.from(text).toString('base64'),
  ]);
}
