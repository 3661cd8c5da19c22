import type { BusLogFields, BusLogger } from '@tidemark/bus';

/** Keeps what was logged, for a test that fails and one that looks. */
export class CollectingLogger implements BusLogger {
  readonly lines: string[] = [];

  info(message: string, fields: BusLogFields = {}): void {
    this.#take('info', message, fields);
  }

  warn(message: string, fields: BusLogFields = {}): void {
    this.#take('warn', message, fields);
  }

  error(message: string, fields: BusLogFields = {}): void {
    this.#take('error', message, fields);
  }

  child(): this {
    return this;
  }

  #take(level: string, message: string, fields: BusLogFields): void {
    this.lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
  }
}
