/** Slices from this size on go out as they are; smaller ones are copied together. */
const COPY_BYTES_MAX = 16 * 1024;
const BUFFER_BYTES = 64 * 1024;

/** Gathers slices into chunks that are worth handing on: at least 16 KiB, but for the last. */
export class ChunkWriter {
  private chunks: Buffer[] = [];
  private buffer: Buffer | null = null;
  private filled = 0;

  /** Adds `data[from..end)`. Large slices are not copied and must stay as they are. */
  write(data: Buffer, from = 0, end: number = data.length): void {
    let at = from;
    if (end - from >= COPY_BYTES_MAX) {
      this.seal();
      this.chunks.push(data.subarray(from, end));
      return;
    }
    while (at < end) {
      this.buffer ??= Buffer.allocUnsafeSlow(BUFFER_BYTES);
      const copied = data.copy(this.buffer, this.filled, at, end);
      this.filled += copied;
      at += copied;
      if (this.filled === BUFFER_BYTES) this.seal();
    }
  }

  /** Adds ASCII text of at most 64 characters. */
  writeText(text: string): void {
    if (this.filled + text.length > BUFFER_BYTES) this.seal();
    this.buffer ??= Buffer.allocUnsafeSlow(BUFFER_BYTES);
    this.filled += this.buffer.write(text, this.filled, 'latin1');
  }

  /** Takes the chunks that are ready; what is still being gathered stays. */
  take(): readonly Buffer[] {
    const ready = this.chunks;
    this.chunks = [];
    return ready;
  }

  /** Takes everything. */
  takeAll(): readonly Buffer[] {
    this.seal();
    return this.take();
  }

  private seal(): void {
    if (this.buffer !== null && this.filled > 0) {
      this.chunks.push(this.buffer.subarray(0, this.filled));
      this.buffer = null;
      this.filled = 0;
    }
  }
}
