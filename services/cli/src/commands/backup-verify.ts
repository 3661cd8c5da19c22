import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { IntegrityError, isSafeName, KeyError, TidemarkError, UsageError } from '@tidemark/core';
import {
  isInStore,
  partsOf,
  verifyBackups,
  type RepoVerification,
  type Sample,
} from '@tidemark/restorer';
import { replaceFile } from '@tidemark/system';
import { withLease, Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { countOf } from '../output/count.ts';
import { formatBytes } from '../output/table.ts';

/** Exit code of a key that is missing or does not fit. */
const WRONG_KEYS = 12;

/** Flags of `backup verify`. */
export interface VerifyFlags {
  readonly sample?: string;
}

/** Verifies every byte of an instance or of one backup, or a share of it, without a restore. */
export async function verifyCommand(
  name: string,
  flags: VerifyFlags,
  invocation: Invocation,
): Promise<void> {
  const parts = flags.sample === undefined ? null : partsOf(shareOf(flags.sample));
  using workspace = await Workspace.open(invocation);
  const { store, keys, config } = workspace;
  const { printer, signal } = invocation;
  const target = await resolveName(name, workspace, signal);
  const turns = new SampleTurns(join(config.stateDir, 'verify'), name);
  const sample = parts === null ? null : await turns.next(parts);
  const lease = { instance: target.instance, fromSecond: null, isLong: false } as const;
  const found = await withLease(lease, workspace, invocation.printer, () =>
    verifyBackups(
      { ...target, sample },
      {
        ...{ store, keys, signal },
        onProgress: (objects, bytes) =>
          printer.progress(`verified ${countOf(objects, 'object')}, ${formatBytes(bytes)}`),
      },
    ),
  );
  if (sample !== null) await turns.done(sample);
  printer.result({ ...target, sample, ...found }, () => linesOf(found, sample));
  refuseFaults(found);
}

/** @returns A share above 0, at most 1. */
function shareOf(text: string): number {
  const [, percent] = /^(\d{1,3}(?:\.\d{1,4})?)%$/.exec(text) ?? [];
  if (percent !== undefined) return Number(percent) / 100;
  throw new UsageError('TM_USAGE', `--sample ${text} is not a share such as 5%`);
}

/** A name is that of an instance, or of a backup of one. */
async function resolveName(
  name: string,
  workspace: Workspace,
  signal: AbortSignal,
): Promise<{ readonly instance: string; readonly backup: string | null }> {
  const { catalog, store } = workspace;
  // Which keys are allowed comes with it. That a log is damaged is what the verification tells.
  const fault = await workspace.sync(signal).then(
    () => null,
    (cause: unknown) => cause,
  );
  signal.throwIfAborted();
  // An instance is looked for in the store alone: the catalog is no witness.
  if (isSafeName(name) && (await isInStore(name, store, signal))) {
    return { instance: name, backup: null };
  }
  for (const { iid } of catalog.instances()) {
    if (iid === null || !catalog.snapshots(iid).some(({ backup }) => backup === name)) continue;
    return { instance: iid, backup: name };
  }
  if (fault instanceof TidemarkError) throw fault;
  throw new UsageError('TM_NOT_FOUND', `${name} is no instance and no backup in this store`, {
    hint: 'tidemark instance list, tidemark backup list ID',
  });
}

/**
 * Whose turn it is: each run of a sample reads another part, so that as many runs as there are parts
 * read everything. Kept in the state folder; where that is lost, the turns begin anew.
 */
class SampleTurns {
  readonly #dir: string;
  readonly #path: string;

  constructor(dir: string, name: string) {
    this.#dir = dir;
    const id = createHash('sha256').update(name).digest('hex').slice(0, 32);
    this.#path = join(dir, `${id}.json`);
  }

  async next(parts: number): Promise<Sample> {
    const kept = await readFile(this.#path, 'utf8').catch(() => '');
    const [, keptParts, keptPart] = /^\{"parts":(\d{1,5}),"next":(\d{1,5})\}$/.exec(kept) ?? [];
    const goesOn = keptParts === parts.toString() && Number(keptPart) < parts;
    return { parts, part: goesOn ? Number(keptPart) : 0 };
  }

  async done({ part, parts }: Sample): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const text = JSON.stringify({ parts, next: (part + 1) % parts });
    await replaceFile(this.#path, text);
  }
}

function linesOf(found: RepoVerification, sample: Sample | null): readonly string[] {
  const { entries, objects, bytes, shredded, faults, faultCount } = found;
  return [
    `${countOf(entries, 'log entry')}, ${countOf(objects, 'object')}, ${formatBytes(bytes)} read` +
      (sample === null
        ? ''
        : `: part ${(sample.part + 1).toString()} of ${sample.parts.toString()}, the next run reads the next`),
    ...(shredded === 0 ? [] : [`${shredded.toString()} data keys were destroyed on purpose`]),
    ...faults.map(({ message, code }) => `DAMAGE ${message} (${code})`),
    faultCount === 0 ? 'no damage' : `${faultCount.toString()} faults`,
  ];
}

function refuseFaults({ faultCount, faults, objects }: RepoVerification): void {
  if (faultCount === 0) return;
  const [first] = faults;
  const context = { faults: faultCount, first: first?.message ?? '' };
  // Where nothing opens at all, it is the ring; where some does, what does not is damaged.
  if (objects === 0 && faults.every(({ exitCode }) => exitCode === WRONG_KEYS)) {
    throw new KeyError('TM_KEY_MISSING', 'what is in the store needs other keys', {
      context,
      hint: 'name the keys that the store was written with in [keys]',
    });
  }
  throw new IntegrityError(
    'TM_SEAL_DIGEST',
    `damaged in ${faultCount.toString()} places: ${first?.message ?? ''}`,
    {
      context,
      hint: 'bring the objects back from a copy of the store, or restore to a second that is whole',
    },
  );
}
