const COMMANDS_FIRST = 1024;
const ARGUMENTS_FIRST = 4096;

/** The growable columns behind a `CommandBatch`; `count` rows and `arguments` rows are in use. */
export class CommandColumns {
  count = 0;
  argumentCount = 0;
  start = new Float64Array(COMMANDS_FIRST);
  end = new Float64Array(COMMANDS_FIRST);
  spec = new Uint16Array(COMMANDS_FIRST);
  db = new Int32Array(COMMANDS_FIRST);
  inMulti = new Uint8Array(COMMANDS_FIRST);
  argc = new Uint32Array(COMMANDS_FIRST);
  argAt = new Uint32Array(COMMANDS_FIRST);
  argStart = new Int32Array(ARGUMENTS_FIRST);
  argEnd = new Int32Array(ARGUMENTS_FIRST);

  /** Doubles the rows for commands; what stands in them is kept. */
  growCommands(): void {
    const rows = this.start.length * 2;
    this.start = grown(this.start, new Float64Array(rows));
    this.end = grown(this.end, new Float64Array(rows));
    this.spec = grown(this.spec, new Uint16Array(rows));
    this.db = grown(this.db, new Int32Array(rows));
    this.inMulti = grown(this.inMulti, new Uint8Array(rows));
    this.argc = grown(this.argc, new Uint32Array(rows));
    this.argAt = grown(this.argAt, new Uint32Array(rows));
  }

  /** Makes room for `rows` arguments in all; what stands in them is kept. */
  growArguments(rows: number): void {
    const size = Math.max(rows, this.argStart.length * 2);
    this.argStart = grown(this.argStart, new Int32Array(size));
    this.argEnd = grown(this.argEnd, new Int32Array(size));
  }
}

/** Copies a column into a larger one. */
export function grown<
  Column extends Float64Array | Int32Array | Uint32Array | Uint16Array | Uint8Array,
>(old: Column, larger: Column): Column {
  larger.set(old);
  return larger;
}
