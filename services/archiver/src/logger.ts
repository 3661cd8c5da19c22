/** Fields of a log line: numbers, ids, reasons. Never data of the user. */
export type LogFields = Readonly<Record<string, string | number | boolean | null>>;

/** What the archiver logs through. The message is a constant; data goes into the fields. */
export interface Logger {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  child(fields: LogFields): Logger;
}
