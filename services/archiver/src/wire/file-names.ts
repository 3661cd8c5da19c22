const IN_ORDER = /^(\d{12})-(\d{1,19})\.(stream|snapshot)$/;
const ASIDE = /^([a-z0-9][a-z0-9-]{0,62})\.aside$/;

/** What the name of a file says; its header must say the same. */
export interface OrderedName {
  readonly name: string;
  readonly index: number;
  readonly ino: string;
  readonly kind: 'stream' | 'snapshot';
}

/** Name of a file of a history. */
export function orderedName(index: number, ino: string, kind: OrderedName['kind']): string {
  return `${index.toString().padStart(12, '0')}-${ino}.${kind}`;
}

/** Reads a name of that kind; null for any other. */
export function parseOrderedName(name: string): OrderedName | null {
  const [, index, ino = '', kind] = IN_ORDER.exec(name) ?? [];
  if (index === undefined) return null;
  return { name, index: Number(index), ino, kind: kind === 'stream' ? 'stream' : 'snapshot' };
}

/** Name of the file of a snapshot taken beside the stream. */
export function asideName(name: string): string {
  return `${name}.aside`;
}

/** Whether a file is one of these; also whether what was asked for can be one. */
export function isAsideName(file: string): boolean {
  return ASIDE.test(file);
}
