/** A cell that is wider does not widen its column: one long key would push all others far out. */
const WIDTH_MAX = 60;

/**
 * Lays rows out in columns as they come in. Nothing is held back until all rows are known: a column
 * grows when a wider cell comes.
 */
export class Columns {
  readonly #widths: number[];

  /**
   * @param head - Column titles.
   * @param widths - Least widths of the columns, in characters.
   */
  constructor(head: readonly string[], widths: readonly number[]) {
    this.#widths = head.map((title, column) => Math.max(title.length, widths[column] ?? 0));
  }

  /** The lines of some rows; what follows them is at least as wide. */
  lines(rows: readonly (readonly string[])[]): string[] {
    for (const row of rows) {
      row.forEach((cell, column) => {
        const width = Math.min(cell.length, WIDTH_MAX);
        this.#widths[column] = Math.max(this.#widths[column] ?? 0, width);
      });
    }
    return rows.map((row) =>
      row
        .map((cell, column) => cell.padEnd(this.#widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    );
  }
}
