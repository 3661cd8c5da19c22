import type { AclUserFacts, NodeFactsRecord } from '@tidemark/archive';
import type { NodeClient } from '@tidemark/client';
import { NodeError } from '@tidemark/core';
import { printableBytes } from '../printable-bytes.ts';
import type { FactsPartReport, LeftFact } from './facts-report.ts';

const DEFAULT_USER = 'default';

/** How users are written. */
export interface WriteAclOptions {
  readonly defaultUser: boolean;
  /** False: only says what would be done. */
  readonly write: boolean;
}

/**
 * Writes the users of a node on the target as they were, password hashes included. Users that only
 * the target has stay; the user of this connection is never touched, and `default` only when asked.
 * @throws NodeError when the target does not answer or denies ACL LIST.
 */
export async function writeAcl(
  facts: NodeFactsRecord,
  client: NodeClient,
  { defaultUser, write }: WriteAclOptions,
): Promise<FactsPartReport> {
  const own = String(await client.call('ACL', 'WHOAMI'));
  const lines = await linesOf(client);
  const present = new Set(lines.map(plainLine));
  const names = new Set(lines.map((line) => line.split(' ', 2)[1]));
  const written: string[] = [];
  const left: LeftFact[] = [];
  let same = 0;
  for (const user of facts.acl ?? []) {
    const { name, rules } = user;
    if (present.has(plainLine(`user ${name} ${rules}`))) {
      same += 1;
      continue;
    }
    const reason =
      reasonOf(name, own, defaultUser) ??
      (write ? await setUser(client, user, wordsAround(facts, names.has(name))) : null);
    const shown = printableBytes(Buffer.from(name, 'latin1'));
    if (reason === null) written.push(shown);
    else left.push({ name: shown, reason });
  }
  return { written, same, left };
}

function reasonOf(name: string, own: string, defaultUser: boolean): string | null {
  if (name === own) return 'this restore is connected as that user';
  if (name === DEFAULT_USER && !defaultUser) return 'it is written with --with-default-user only';
  return null;
}

async function linesOf(client: NodeClient): Promise<readonly string[]> {
  const reply = await client.callBuffer('ACL', 'LIST');
  return (Array.isArray(reply) ? (reply as unknown[]) : []).map((line) =>
    Buffer.isBuffer(line) ? line.toString('latin1') : String(line),
  );
}

/** Without the flag that is the default: some versions tell it, of some users. */
function plainLine(line: string): string {
  return line.replace(' sanitize-payload', '');
}

/** What stands before and after the rules of a user that is written. */
interface WordsAround {
  readonly before: readonly string[];
  readonly after: readonly string[];
}

function wordsAround({ product, version }: NodeFactsRecord, known: boolean): WordsAround {
  // Redis 6.0 knows no rules for channels: every user may use all of them.
  const allChannels = product === 'redis' && version.startsWith('6.0.');
  return { before: known ? ['reset'] : [], after: allChannels ? ['allchannels'] : [] };
}

async function setUser(
  client: NodeClient,
  { name, rules }: AclUserFacts,
  { before, after }: WordsAround,
): Promise<string | null> {
  // No rule holds a space but a selector, and the server puts its words together again.
  const words = rules.split(' ').filter((word) => word !== '');
  const bytes = [name, ...before, ...words, ...after].map((word) => Buffer.from(word, 'latin1'));
  try {
    await client.call('ACL', 'SETUSER', ...bytes);
    return null;
  } catch (error) {
    if (!(error instanceof NodeError) || !client.isOpen) throw error;
    if (error.code === 'TM_NODE_RIGHTS') return 'the target denies ACL SETUSER';
    // The server repeats the rule that it does not take. Nothing but a command's may be shown.
    const [, rule] = /modifier '([+-][a-z0-9@|_.-]+)'/i.exec(String(error.context['reply'])) ?? [];
    return rule === undefined
      ? 'the target refuses its rules'
      : `the target does not know its rule ${rule}`;
  }
}
