import { instanceCheckpointKey } from '@tidemark/archive';
import {
  lostInstanceTail,
  readInstanceCheckpoint,
  type InstanceLogSource,
} from '@tidemark/catalog';
import { IntegrityError } from '@tidemark/core';

/** The checkpoints of the log of an instance, compared with the entries that they were made of. */
export class OwnCheckpoints {
  readonly #wanted: ReadonlySet<number>;
  readonly #digests = new Map<number, string>();

  /** @param seqs - Of those that lie in the store. */
  constructor(seqs: readonly number[]) {
    this.#wanted = new Set(seqs);
  }

  /** Takes an entry of the log. */
  note({ seq, digest }: { readonly seq: number; readonly digest: string }): void {
    if (this.#wanted.has(seq)) this.#digests.set(seq, digest);
  }

  /**
   * Opens one.
   * @param isRead - Whether the log was read to its end: an entry that did not come is not there.
   * @throws IntegrityError `TM_LOG_GAP` when the log ends before it, `TM_LOG_CHAIN` when it is of another
   *   history of the log; as `readInstanceCheckpoint`.
   */
  async check(source: InstanceLogSource, seq: number, isRead: boolean): Promise<void> {
    const state = await readInstanceCheckpoint(source, seq);
    if (state === null || !isRead) return;
    const { iid } = source;
    const digest = this.#digests.get(seq);
    if (digest === undefined) throw lostInstanceTail(iid, seq);
    if (digest === state.digest) return;
    const object = instanceCheckpointKey(iid, seq);
    throw new IntegrityError('TM_LOG_CHAIN', `${object} is of another history of the log`, {
      context: { iid, seq, object },
      hint: 'the store was put together from copies of two times; the entries of the log count',
    });
  }
}
