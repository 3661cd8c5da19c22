import type { TidemarkError } from '@tidemark/core';

/** How results are printed. */
export type OutputFormat = 'text' | 'json';

/** Prints results to standard output; progress, warnings and errors to standard error. */
export class Printer {
  readonly format: OutputFormat;
  readonly #progressWidth: number;
  #progressShown = false;

  constructor(format: OutputFormat) {
    this.format = format;
    this.#progressWidth = process.stderr.isTTY && format === 'text' ? process.stderr.columns : 0;
  }

  /** The one result of a command: a JSON document, or lines of text. */
  result(document: unknown, text: () => readonly string[]): void {
    this.wipe();
    const lines = this.format === 'json' ? [JSON.stringify(document)] : text();
    if (lines.length > 0) process.stdout.write(`${lines.join('\n')}\n`);
  }

  /** Something the user should know; the work goes on. */
  warn(message: string): void {
    this.wipe();
    process.stderr.write(`warning: ${message}\n`);
  }

  /** One line of progress: replaced in place on a terminal, silent elsewhere. */
  progress(line: string): void {
    if (this.#progressWidth === 0) return;
    process.stderr.write(`\r\u001b[2K${line.slice(0, this.#progressWidth - 1)}`);
    this.#progressShown = true;
  }

  /** A step that is done; on a terminal only. */
  step(line: string): void {
    if (this.#progressWidth === 0) return;
    this.wipe();
    process.stderr.write(`${line}\n`);
  }

  /** An error with its code, its hint and, in JSON, its context. */
  error(error: TidemarkError): void {
    this.wipe();
    if (this.format === 'json') {
      const { code, message, hint, exitCode } = error;
      const context = Object.fromEntries(
        Object.entries(error.context).map(([name, value]) => [
          name,
          typeof value === 'bigint' ? value.toString() : value,
        ]),
      );
      const document = { error: { code, exitCode, message, hint: hint ?? null, context } };
      process.stderr.write(`${escaped(JSON.stringify(document))}\n`);
      return;
    }
    const message = printable(error.message);
    process.stderr.write(`error[${error.exitCode.toString()}]: ${message} (${error.code})\n`);
    if (error.hint !== undefined) process.stderr.write(`hint: ${printable(error.hint)}\n`);
  }

  /** Takes the line of progress away, before something else is written to the terminal. */
  wipe(): void {
    if (this.#progressShown) process.stderr.write('\r\u001b[2K');
    this.#progressShown = false;
  }
}

/** Errors may repeat what servers and files say: nothing in them moves a cursor or ends a line. */
function printable(text: string): string {
  return text.replaceAll(/\s*[\r\n]+\s*/g, ' ').replaceAll(/\p{Cc}/gu, '');
}

/** JSON leaves DEL and the controls above it as they are. */
function escaped(json: string): string {
  return json.replaceAll(
    /\p{Cc}/gu,
    (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
