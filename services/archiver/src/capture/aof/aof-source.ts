import {
  openAofTail,
  probeAofDir,
  type AofLayout,
  type AofTail,
  type BaseFile,
  type SampleStamp,
  type TailCursor,
  type TailItem,
} from '@tidemark/aof';
import type { NodeSample } from '@tidemark/client';
import type {
  CaptureSource,
  SourceBase,
  SourceItem,
  SourceOpener,
  SourcePlace,
  SourceSetting,
} from '../capture-source.ts';
import { HistoryDesk } from '../history-desk.ts';
import { fileBytes } from '../../ship/file-bytes.ts';
import { readRdbBytes } from '../rdb-bytes.ts';
import { requestRewrite } from '../request-rewrite.ts';

/** Opens the append-only files of a node. */
export function aofOpener(target: {
  readonly aofDir: string;
  readonly hold: boolean;
}): SourceOpener {
  return {
    kind: 'aof',
    check: async () => {
      await probeAofDir(target.aofDir);
    },
    open: (setting) => AofSource.open(target, setting),
  };
}

/** Captures a node through its append-only files, beside it. */
class AofSource implements CaptureSource {
  readonly kind = 'aof';
  readonly link = null;
  readonly #tail: AofTail;
  readonly #layout: AofLayout;
  readonly #setting: SourceSetting;
  readonly #history: HistoryDesk | null;

  private constructor(tail: AofTail, layout: AofLayout, setting: SourceSetting, hold: boolean) {
    this.#tail = tail;
    this.#layout = layout;
    this.#setting = setting;
    const { pinBytesMax: bytesMax, pinAgeMaxMs: ageMaxMs } = setting.limits;
    const history = (): AofTail['history'] => tail.history;
    this.#history = hold ? new HistoryDesk({ ...setting, bytesMax, ageMaxMs, history }) : null;
  }

  static async open(
    { aofDir, hold }: { readonly aofDir: string; readonly hold: boolean },
    setting: SourceSetting,
  ): Promise<AofSource> {
    const { resume, limits, clock, signal, writer } = setting;
    const { manifestName, layout } = await probeAofDir(aofDir);
    const tail = await openAofTail({
      dir: aofDir,
      manifestName,
      layout,
      rdbBytes: readRdbBytes,
      resume: resume?.cursor ?? null,
      resumeBack: resume?.back ?? 0,
      clock,
      signal,
      // Another archiver may capture the same folder: each lets go of its own pins only.
      pinOwner: writer,
      hold,
      pinBytesMax: limits.pinBytesMax,
      pinAgeMaxMs: limits.pinAgeMaxMs,
    });
    return new AofSource(tail, layout, setting, hold);
  }

  get pinClass(): AofTail['pinClass'] {
    return this.#tail.pinClass;
  }

  /** A rewrite of a single file ends its timeline. */
  get canRebase(): boolean {
    return this.#layout === 'multi-part';
  }

  async next(): Promise<SourceItem> {
    return itemOf(await this.#tail.next());
  }

  beginSample(): SampleStamp {
    return this.#tail.beginSample();
  }

  place(sample: NodeSample, stamp: unknown): SourcePlace | null {
    // While it loads its log a server says that the log is off (redis src/aof.c,
    // loadSingleAppendOnlyFile), and its sizes are not those of its files yet.
    if (sample.loading) return null;
    this.#tail.noteAofEnabled(sample.aofEnabled, sample.runId);
    this.#tail.noteRewrite(sample.aofRewriteInProgress);
    if (!sample.aofEnabled) return null;
    const place = this.#tail.position(
      {
        aofCurrentSize: sample.aofCurrentSize,
        aofBaseSize: sample.aofBaseSize,
        aofBufferLength: sample.aofBufferLength,
        rewriteInProgress: sample.aofRewriteInProgress,
        rewriteScheduled: sample.aofRewriteScheduled,
        rewrites: sample.aofRewrites,
        runId: sample.runId,
      },
      stamp as SampleStamp,
    );
    if (place === null) return null;
    const { seq, position, file } = place;
    return { seq, position, ino: file.ino };
  }

  isQuiet(sample: NodeSample): boolean {
    const rewrites = sample.aofRewriteInProgress || sample.aofRewriteScheduled;
    return !sample.loading && sample.aofEnabled && sample.lastWriteOk && !rewrites;
  }

  async askBase(signal: AbortSignal): Promise<void> {
    // A small base is rewritten within milliseconds: the pins look closer from now on.
    this.#tail.noteRewrite(true);
    const { locator, clock } = this.#setting;
    await requestRewrite(locator, clock, signal);
  }

  async releaseBase(name: string): Promise<void> {
    await this.#tail.releaseBase(name);
  }

  async releaseBefore(cursor: TailCursor): Promise<void> {
    await this.#tail.releaseBefore(cursor);
  }

  resumeAt(cursor: TailCursor): void {
    this.#tail.resumeAt(cursor);
  }

  async giveUp(): Promise<void> {
    await this.#tail.giveUp();
  }

  look(): void {
    this.#history?.look();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#history?.settled();
    await this.#tail[Symbol.asyncDispose]();
  }
}

function itemOf(item: TailItem): SourceItem {
  switch (item.kind) {
    case 'opened':
      return { ...item, base: item.base === null ? null : baseOf(item.base) };
    case 'base':
      return { kind: 'base', base: baseOf(item.base) };
    default:
      return item;
  }
}

function baseOf({ path, ...base }: BaseFile): SourceBase {
  const { form = 'rdb', size } = base;
  return { ...base, open: form === 'rdb' ? fileBytes(path, size) : null };
}
