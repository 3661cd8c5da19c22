import type { Printer } from './output/printer.ts';

/** What every command is given. */
export interface Invocation {
  readonly configPath: string;
  readonly printer: Printer;
  /** Aborted by Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal;
}
