import { detachOffline, releasePins } from '@tidemark/archiver';
import { connectNode } from '@tidemark/client';
import { TidemarkError, UsageError, type Clock, type Random } from '@tidemark/core';
import {
  forgetSecrets,
  instanceTarget,
  loadConfig,
  locateNode,
  removeInstance,
  SwitchedSettings,
  type InstanceEntry,
  type Workspace,
} from '@tidemark/workspace';
import { askStatus } from '../queries/status.ts';

const DETACH_MS = 40_000;
const ATTACH_MS = 40_000;

/** What an instance is released with. */
export interface ReleaseParts {
  readonly workspace: Workspace;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** Told what could not be put right; the rest is done all the same. */
  readonly warn: (message: string) => void;
  /** It must not be captured by another archiver afterwards. Default: that is a warning too. */
  readonly mustEnd?: boolean;
}

/**
 * Ends the protection of a configured instance: its timeline is closed, the node is as it was, pins,
 * passwords and its place in the configuration go. What is stored stays. Where that fails before it has gone from
 * the configuration, the archiver takes it up again.
 * @param beforeItGoes - Once it is not captured any more, and still configured.
 * @throws UsageError `TM_NOT_FOUND` when it is not configured here; with `mustEnd` CatalogError
 *   `TM_LOG_OWNER` while another archiver captures it.
 */
export async function releaseInstance(
  id: string,
  parts: ReleaseParts,
  beforeItGoes: (entry: InstanceEntry) => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  const { workspace, signal } = parts;
  const { path, stateDir } = workspace.config;
  const entry = (await loadConfig(path)).instances.find((known) => known.id === id);
  if (entry === undefined) {
    throw new UsageError('TM_NOT_FOUND', `no instance ${id} is configured`);
  }
  signal.throwIfAborted();
  const isOurs = await isCapturedHere(id, parts);
  try {
    await endCapture(id, parts);
    await beforeItGoes(entry);
    await leaveNode(entry, parts);
    await removeInstance(path, id);
  } catch (cause) {
    // Whoever was asked to let it go may do so yet.
    if (isOurs) await captureAgain(id, parts);
    throw cause;
  }
  await warnIfNot('remove its password', parts, () => forgetSecrets(stateDir, id));
}

/** What another archiver captures is not this one's to take up. */
async function isCapturedHere(id: string, { workspace, signal }: ReleaseParts): Promise<boolean> {
  const status = await askStatus(workspace, signal);
  const found = status?.captures.find(({ instance }) => instance === id);
  return found !== undefined && found.state !== 'waiting';
}

async function endCapture(id: string, parts: ReleaseParts): Promise<void> {
  const asked = { timeoutMs: DETACH_MS, signal: parts.signal };
  if ((await parts.workspace.askArchiver('detach', id, asked)) !== null) return;
  await closeTimeline(id, parts).catch((cause: unknown) => {
    if (parts.mustEnd === true && isOwned(cause)) throw cause;
    warnOf('close its timeline in the store', cause, parts);
  });
}

/** The node is as it was before it was captured. */
async function leaveNode(entry: InstanceEntry, parts: ReleaseParts): Promise<void> {
  const { workspace, signal } = parts;
  const { path, stateDir } = workspace.config;
  const { id } = entry;
  const settings = new SwitchedSettings(stateDir, id);
  const switched = await settings.names();
  if (switched.length > 0) {
    await warnIfNot(`put ${switched.join(' and ')} back`, parts, async () => {
      const target = await instanceTarget(entry, path);
      await using client = await connectNode(await locateNode(target, signal), { signal });
      await settings.putBack(client);
    });
  }
  await warnIfNot('remove the pins beside the AOF folder', parts, async () => {
    const { aofDir } = await instanceTarget(entry, path);
    if (aofDir === undefined) return;
    await workspace.sync(signal, id);
    await releasePins(
      aofDir,
      workspace.catalog.writers(id).map(({ writer }) => writer),
    );
  });
}

/** What was not released stays under protection: else nobody would capture what the configuration names. */
async function captureAgain(id: string, { workspace, warn }: ReleaseParts): Promise<void> {
  // Its own time: what ended the release may have been that of the caller.
  const asked = { timeoutMs: ATTACH_MS, signal: AbortSignal.timeout(ATTACH_MS) };
  try {
    await workspace.askArchiver('attach', id, asked);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : 'unknown';
    warn(`${id} is configured still, and may be captured by nobody: ${why}`);
  }
}

/** What a running archiver does at a detach. Without it what it has not shipped yet is left out. */
async function closeTimeline(
  id: string,
  { workspace, clock, random }: ReleaseParts,
): Promise<void> {
  const { config, store, keys } = workspace;
  const { stateDir, limits } = config;
  const { heartbeatMs } = limits;
  await detachOffline(id, {
    ...{ store, keys, clock, random, stateDir, heartbeatMs },
    takeOver: false,
  });
}

const isOwned = (cause: unknown): boolean =>
  cause instanceof TidemarkError && cause.code === 'TM_LOG_OWNER';

async function warnIfNot(
  what: string,
  parts: ReleaseParts,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work();
  } catch (cause) {
    warnOf(what, cause, parts);
  }
}

function warnOf(what: string, cause: unknown, { signal, warn }: ReleaseParts): void {
  if (!(cause instanceof Error) || signal.aborted) throw cause;
  warn(`could not ${what}: ${cause.message}`);
}
