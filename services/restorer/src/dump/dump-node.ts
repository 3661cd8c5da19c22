import { describeAddress, dialNode, type NodeAddress } from '@tidemark/client';
import { TidemarkError, type ByteSource, type Clock, type Random } from '@tidemark/core';
import { passRdb, type RdbSummary } from '@tidemark/rdb';
import { openReplicaLink } from '@tidemark/replication';
import { writeWholeFile } from '../download/whole-file.ts';

const DIAL_TIMEOUT_MS = 10_000;

/** What is dumped, and where to. */
export interface DumpRequest {
  readonly address: NodeAddress;
  readonly path: string;
  /** A file of that name is replaced, once the new one is whole. */
  readonly replace: boolean;
}

/** What a dump works with. */
export interface DumpEnvironment {
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** @param bytesTotal - Null where the node does not know it beforehand. */
  readonly onProgress: (bytes: number, bytesTotal: number | null) => void;
  /**
   * Throws where no plain copy may be made. Asked before the node is connected, with null; when its
   * replication id is known and no byte was taken; and before the file gets its name.
   */
  readonly mayCopy: (replid: string | null) => Promise<void>;
}

/** A file that was written. */
export interface DumpedFile {
  readonly path: string;
  readonly bytes: number;
  /** What the scanner found in it. */
  readonly summary: RdbSummary;
  /** The state is that of this offset of this replication history. */
  readonly replid: string;
  readonly offset: bigint;
}

/**
 * Writes the dataset of a node into a plain RDB file, by replication: all that its user needs is
 * `+psync +replconf +ping`. The file (0600) appears whole and checked, or not at all.
 *
 * Memory does not grow with the dataset.
 * @throws TidemarkError `TM_EXISTS`, `TM_OUTPUT`; NodeError as `dialNode`, `openReplicaLink`;
 *   FormatError, IntegrityError as `passRdb`; what `mayCopy` throws; the signal's reason.
 */
export async function dumpNode(
  { address, path, replace }: DumpRequest,
  environment: DumpEnvironment,
): Promise<DumpedFile> {
  const { random, signal, onProgress } = environment;
  await environment.mayCopy(null);
  const dump = new NodeDump(address, environment);
  const onBytes = (bytes: number): void => onProgress(bytes, dump.bytesTotal);
  const options = { random, signal, onBytes, replace };
  // The node is connected when the file is pulled for: not when its name is taken.
  const bytes = await writeWholeFile(path, dump.bytes(), options);
  return { path, bytes, ...dump.found() };
}

class NodeDump {
  bytesTotal: number | null = null;
  readonly #address: NodeAddress;
  readonly #environment: DumpEnvironment;
  #start: { readonly replid: string; readonly offset: bigint } | null = null;
  #summary: RdbSummary | null = null;

  constructor(address: NodeAddress, environment: DumpEnvironment) {
    this.#address = address;
    this.#environment = environment;
  }

  async *bytes(): ByteSource {
    const address = this.#address;
    const { clock, signal, mayCopy } = this.#environment;
    const { username, password } = address;
    await using link = await openReplicaLink({
      dial: (given) => dialNode(address, { timeoutMs: DIAL_TIMEOUT_MS, signal: given }),
      node: describeAddress(address),
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      resume: null,
      snapshotOnly: true,
      clock,
      signal,
    });
    const { replid, offset } = link.start;
    this.#start = { replid, offset };
    await mayCopy(replid);
    for await (const chunk of passRdb(link.snapshot(), (found) => (this.#summary = found))) {
      this.bytesTotal = link.snapshotLength;
      yield chunk;
    }
    await mayCopy(replid);
  }

  /** After the last byte. */
  found(): Pick<DumpedFile, 'summary' | 'replid' | 'offset'> {
    const [start, summary] = [this.#start, this.#summary];
    if (start !== null && summary !== null) return { ...start, summary };
    throw new TidemarkError('TM_INTERNAL', 'a dump ended without its end');
  }
}
