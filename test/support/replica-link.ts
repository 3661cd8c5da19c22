import { once } from 'node:events';
import { connect } from 'node:net';
import { openReplicaLink, type ReplicaLink, type ReplicaLinkOptions } from '@tidemark/replication';
import { systemClock } from '@tidemark/system';

/** A link to a server on the loopback; full resync unless the changes say something else. */
export function linkTo(
  port: number,
  changes: Partial<ReplicaLinkOptions> = {},
): Promise<ReplicaLink> {
  return openReplicaLink({
    dial: async (signal) => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      await once(socket, 'connect', { signal });
      return socket;
    },
    node: `127.0.0.1:${port}`,
    resume: null,
    clock: systemClock,
    signal: new AbortController().signal,
    ...changes,
  });
}

/** The whole RDB of a link. */
export async function takeSnapshot(link: ReplicaLink): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const chunk of link.snapshot()) parts.push(Buffer.from(chunk));
  return Buffer.concat(parts);
}

/** Takes the stream of a link in the background. */
export class StreamTaker {
  /** What the stream ended with; resolves always. */
  readonly ended: Promise<unknown>;
  private readonly link: ReplicaLink;
  private readonly parts: Buffer[] = [];
  private bytes = 0;
  private changed: (() => void)[] = [];
  private over = false;

  constructor(link: ReplicaLink) {
    this.link = link;
    this.ended = this.run();
  }

  /** Number of the last byte taken. */
  get offset(): bigint {
    return this.link.start.offset + BigInt(this.bytes);
  }

  get taken(): Buffer {
    return Buffer.concat(this.parts);
  }

  get isOver(): boolean {
    return this.over;
  }

  /** Resolves when the byte of this offset was taken; rejects when the stream ends before. */
  async until(offset: bigint): Promise<void> {
    while (this.offset < offset) {
      if (this.over) throw await this.ended;
      await new Promise<void>((resolve) => this.changed.push(resolve));
    }
  }

  private async run(): Promise<unknown> {
    try {
      for await (const chunk of this.link.stream()) {
        this.parts.push(Buffer.from(chunk));
        this.bytes += chunk.length;
        this.tell();
      }
      return new Error('the stream ended without an error');
    } catch (error) {
      return error;
    } finally {
      this.over = true;
      this.tell();
    }
  }

  private tell(): void {
    for (const wake of this.changed.splice(0)) wake();
  }
}
