import { TidemarkError } from '@tidemark/core';
import type { Printer } from './printer.ts';

let failure: Error | null = null;
let watched = false;

/**
 * Keeps the process alive when the standard output fails: nobody reads any more (`| head`), which is
 * no error, or the disk that it goes to is full, which is told and ends in exit code 1. The work of
 * the command goes on: a restore is not to stop half way for it.
 */
export function watchStandardOutput(printer: () => Printer): void {
  if (watched) return;
  watched = true;
  process.stdout.on('error', (cause: Error & { readonly code?: string }) => {
    if (failure === null && cause.code !== 'EPIPE') {
      const text = `the output cannot be written (${cause.code ?? cause.message})`;
      printer().error(new TidemarkError('TM_OUTPUT', text, { cause }));
      process.exitCode = 1;
    }
    failure ??= cause;
  });
}

/** Whether nothing that is written any more arrives; once true it stays so. */
export function isOutputGone(): boolean {
  return failure !== null;
}
