import { lstat, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connectNode } from '@tidemark/client';
import { NodeError, TidemarkError } from '@tidemark/core';
import type { Config } from '@tidemark/workspace';
import { isFileConfigured } from './configured-files.ts';
import { processesIn, readNote, removeFolder, type LocalNote } from './local-folder.ts';
import { folderOf, loaderRef, madeRef } from './local-server.ts';
import type { SecretFolder } from './secrets.ts';
import { endServer } from './server-processes.ts';

const ANSWER_MS = 5_000;
const LOOK_MS = 50;
const STAYS_MS = 2_000;

/** What is taken back of a server with. */
export interface TakeBackParts {
  readonly config: Pick<Config, 'path' | 'clone'>;
  readonly secrets: SecretFolder;
  /** Name of this host (`hostName`). */
  readonly host: string;
}

/** What became of what a job had begun on this host. */
export type TakenBack =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'gone' }
  | { readonly kind: 'left'; readonly why: string };

/**
 * Takes away the server that attempts of this host had started for a job that was done elsewhere, with its folder, its
 * name and the passwords that were made up for it. What another host has taken over in that folder, what somebody uses
 * or keeps, and every process that is not the server of the folder, is left alone. Safe to repeat.
 * @throws NodeError `TM_SERVER_START` when it does not end.
 */
export async function takeBackServer(id: string, parts: TakeBackParts): Promise<TakenBack> {
  const { config, secrets, host } = parts;
  const dir = folderOf({ id }, parts);
  const note = await readNote(dir);
  if (note !== null) {
    const why = await whyLeft(note, dir, host, secrets);
    if (why !== null) return { kind: 'left', why };
  }
  const files: string[] = [];
  for (const path of [loaderRef({ id }), madeRef({ id })].map((file) => secrets.path(file))) {
    if ((await isThere(path)) && !(await isFileConfigured(path, config.path))) files.push(path);
  }
  const isBegun = files.length > 0 || (await isThere(dir));
  if (await isThere(dir)) await removeServer(id, dir);
  for (const file of files) await rm(file, { force: true });
  return { kind: isBegun ? 'gone' : 'nothing' };
}

const isThere = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );

async function removeServer(id: string, dir: string): Promise<void> {
  const isEnded = await endServer(dir);
  // One that works there and is not the server of the folder is somebody's.
  const pid = await whoStays(dir);
  if (!isEnded || pid !== undefined) {
    throw new NodeError('TM_SERVER_START', `the server of job ${id} does not end`, {
      context: { pid: pid ?? null },
      hint: `look at ${dir}`,
    });
  }
  await removeFolder(dir);
}

/** What a server had started to write its log anew ends after it. */
async function whoStays(dir: string): Promise<number | undefined> {
  for (let waitedMs = 0; ; waitedMs += LOOK_MS) {
    const [pid] = await processesIn(dir);
    if (pid === undefined || waitedMs >= STAYS_MS) return pid;
    await delay(LOOK_MS);
  }
}

/** Null: it is what an attempt of this host had begun, and nobody has it. */
async function whyLeft(
  note: LocalNote,
  dir: string,
  host: string,
  secrets: SecretFolder,
): Promise<string | null> {
  if (note.owner !== undefined && note.owner !== host) return 'another host has taken it over';
  if (note.kept === true) return 'somebody has ended it and kept its data';
  if (note.state === 'loading') return null; // nobody was ever let in
  if (note.owner === undefined) return 'an earlier release made it whole: nobody knows whose it is';
  if ((await processesIn(dir)).length === 0) return 'it was whole, and does not run any more';
  return whyUsed(note, dir, secrets);
}

/** Whether somebody has found a server that was whole, though it was not handed over. */
async function whyUsed(
  { passwordRef = null }: LocalNote,
  dir: string,
  secrets: SecretFolder,
): Promise<string | null> {
  try {
    const password = passwordRef === null ? {} : { password: await secrets.read(passwordRef) };
    const address = { host: 'localhost', port: 0, path: join(dir, 'server.sock'), ...password };
    const options = { name: 'tidemark-clone', timeoutMs: ANSWER_MS, replyTimeoutMs: ANSWER_MS };
    await using client = await connectNode(address, options);
    const own = `id=${String(await client.call('CLIENT', 'ID'))} `;
    const others = String(await client.call('CLIENT', 'LIST'))
      .split('\n')
      .filter((line) => line.startsWith('id=') && !line.startsWith(own));
    return others.length === 0 ? null : 'it is whole, and somebody is connected to it';
  } catch (cause) {
    if (!(cause instanceof TidemarkError)) throw cause;
    return `it is whole, and nobody knows who uses it: ${cause.message}`;
  }
}
