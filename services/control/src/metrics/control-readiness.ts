import {
  stallMsOf,
  StallWatch,
  type CaptureStatus,
  type Readiness,
  type ReadinessReason,
} from '@tidemark/archiver';
import { instanceRecordKey } from '@tidemark/archive';
import { StoreError, TidemarkError } from '@tidemark/core';
import type { ControlMetricsParts } from './control-metrics.ts';

/** How old what is known of the store may be: whoever asks often does not ask the store each time. */
const STORE_AGE_MS = 15_000;
/** A store that does not answer by then is away. */
const STORE_WAIT_MS = 5_000;
/** Least time between two tries to write to the database of jobs. */
const WRITE_AGE_MS = 10_000;

/** An archiver of this host that does not answer by then says nothing. */
const ARCHIVER_WAIT_MS = 2_000;

type Parts = Pick<ControlMetricsParts, 'workspace' | 'fresh' | 'state' | 'clock' | 'recycle'>;

/**
 * Whether API and workers can do what they are there for: the database of jobs and the store work. What
 * an archiver in the same process captures counts as well; another one's is a note: whoever has to
 * restore because it stands still needs the API.
 */
export class ControlReadiness {
  readonly #parts: Parts;
  readonly #stalls: StallWatch;
  #writtenMs = -Infinity;
  #seenMs = -Infinity;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#stalls = new StallWatch(parts.clock, stallMsOf(parts.workspace.config.limits));
  }

  async now(): Promise<Readiness> {
    const [store, archiver] = await Promise.all([this.#store(), this.#archiver()]);
    const all = [this.#state(), store, archiver, this.#bin()];
    return {
      reasons: all.flatMap(({ reasons }) => reasons),
      notes: all.flatMap(({ notes }) => notes),
    };
  }

  #state(): Readiness {
    const { state, clock } = this.#parts;
    try {
      const replaced = state.replacement;
      if (clock.monotonicMs() - this.#writtenMs >= WRITE_AGE_MS) {
        state.write(() =>
          state.run(
            `INSERT INTO meta (name, value) VALUES ('probe', ?)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
            JSON.stringify(clock.nowMs()),
          ),
        );
        this.#writtenMs = clock.monotonicMs();
      }
      if (replaced === null) return READY;
      const said = {
        code: 'state-replaced',
        instance: null,
        detail: 'the database of jobs was damaged and is made anew',
      };
      return replaced.rebuilt ? { reasons: [], notes: [said] } : { reasons: [said], notes: [] };
    } catch (cause) {
      const full = cause instanceof TidemarkError && cause.code === 'TM_STATE_FULL';
      return full
        ? notReady('state-full', 'there is no room for the database of jobs')
        : notReady('state-away', 'the database of jobs cannot be used');
    }
  }

  /** A clock that is wrong, or a host that saw too little, keeps what is due: somebody should know. */
  #bin(): Readiness {
    const { postponed } = this.#parts.recycle ?? { postponed: [] };
    const notes = postponed.map((one) => ({ code: 'recycle-postponed', ...one }));
    return { reasons: [], notes };
  }

  async #archiver(): Promise<Readiness> {
    const { workspace } = this.#parts;
    try {
      const answer = (await workspace.askArchiver('status', null, {
        timeoutMs: ARCHIVER_WAIT_MS,
        signal: AbortSignal.timeout(ARCHIVER_WAIT_MS),
      })) as { readonly pid: number; readonly captures: readonly CaptureStatus[] } | null;
      if (answer === null) return READY; // it may run on another host
      const { reasons } = this.#stalls.readiness(answer.captures);
      return answer.pid === process.pid ? { reasons, notes: [] } : { reasons: [], notes: reasons };
    } catch {
      const detail = 'the archiver of this host does not answer';
      return { reasons: [], notes: [{ code: 'archiver-silent', instance: null, detail }] };
    }
  }

  /** A store that is not mounted looks like an empty one: what is known must be in it. */
  async #hasRecords(): Promise<boolean> {
    const { workspace, clock } = this.#parts;
    if (clock.monotonicMs() - this.#seenMs < STORE_AGE_MS) return true;
    const known = workspace.catalog.instances().find(({ iid }) => iid !== null);
    if (known?.iid != null) {
      const record = await workspace.store.head(instanceRecordKey(known.iid));
      if (record === null) return false;
    }
    this.#seenMs = clock.monotonicMs();
    return true;
  }

  async #store(): Promise<Readiness> {
    const { fresh, clock } = this.#parts;
    const over = new AbortController();
    try {
      const late = clock.sleep(STORE_WAIT_MS, over.signal).then(() => 'late' as const);
      late.catch(() => undefined); // it was called off
      const read = fresh.all(STORE_AGE_MS).then(() => this.#hasRecords());
      read.catch(() => undefined); // also when it ends later
      const first = await Promise.race([read, late]);
      if (first === 'late') return notReady('store-away', 'the store does not answer');
      return first ? READY : notReady('store-away', 'the store does not hold what it held');
    } catch (cause) {
      if (cause instanceof StoreError) return notReady('store-away', 'the store cannot be read');
      const code = cause instanceof TidemarkError ? cause.code : 'TM_INTERNAL';
      // Damage of one instance: the others are served.
      const detail = `not everything in the store can be read: ${code}`;
      return { reasons: [], notes: [{ code: 'store-unread', instance: null, detail }] };
    } finally {
      over.abort(new Error('answered'));
    }
  }
}

const READY: Readiness = { reasons: [], notes: [] };

function notReady(code: string, detail: string): Readiness {
  const reason: ReadinessReason = { code, instance: null, detail };
  return { reasons: [reason], notes: [] };
}
