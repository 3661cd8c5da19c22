import { encodeCommand } from '@tidemark/resp';
import { foreignPeer, replyError } from './errors.ts';
import type { LinkSocket } from './link-socket.ts';
import type { LinkStart, ReplicaLinkOptions } from './options.ts';

/**
 * The version that is announced to Valkey. It decides in which RDB version and with which features
 * a primary encodes: never in a newer one than its own, and with a version that is as high as can be
 * in its own. So nobody has to know it, and INFO needs no right.
 */
const VERSION = '255.255.255';
const OFFSET_MAX = 2n ** 53n;

/** What the handshake ended with. */
export interface Greeting {
  readonly start: LinkStart;
  /** The server sends the snapshot alone, and closes the connection at once behind it. */
  readonly snapshotAlone: boolean;
}

/**
 * The replica's half of the handshake, one command at a time: a PSYNC while a reply is pending is
 * refused. No listening port is announced, and nothing that changes the form of the transfer.
 *
 * @throws NodeError; see `openReplicaLink`.
 * @see redis src/replication.c, `syncWithMaster`, `syncCommand`, `replconfCommand`
 */
export async function greet(
  socket: LinkSocket,
  options: ReplicaLinkOptions,
  silenceMs: number,
): Promise<Greeting> {
  const ask = async (command: string, ...args: string[]): Promise<string> => {
    socket.write(encodeCommand([command, ...args]));
    return socket.readLine();
  };
  const place = { node: options.node, phase: 'handshake' } as const;
  await logIn(ask, options);
  const capabilities = await ask('REPLCONF', 'capa', 'eof', 'capa', 'psync2');
  if (capabilities.startsWith('-')) {
    throw replyError(capabilities.slice(1), 'REPLCONF', place);
  }
  if (capabilities !== '+OK') throw foreignPeer(place, 'an answer to REPLCONF', capabilities);
  // Servers that do not know one of these say so, and go on without it.
  await ask('REPLCONF', 'version', VERSION);
  const snapshotAlone =
    options.snapshotOnly === true && (await ask('REPLCONF', 'rdb-only', '1')) === '+OK';
  socket.silenceMs = silenceMs;
  const { resume } = options;
  const answer =
    resume === null
      ? await ask('PSYNC', '?', '-1')
      : await ask('PSYNC', resume.replid, String(resume.offset + 1n));
  return { start: startOf(answer, options), snapshotAlone };
}

async function logIn(
  ask: (command: string, ...args: string[]) => Promise<string>,
  { node, username, password }: ReplicaLinkOptions,
): Promise<void> {
  if (username === undefined && password === undefined) return;
  const answer = await ask('AUTH', ...(username === undefined ? [] : [username]), password ?? '');
  if (answer === '+OK') return;
  const place = { node, phase: 'handshake' } as const;
  if (!answer.startsWith('-')) throw foreignPeer(place, 'an answer to AUTH', answer);
  // Nobody asked for the password: as good as a right one.
  if (/no password is set|without any password configured/.test(answer)) return;
  throw replyError(answer.slice(1), 'AUTH', place);
}

function startOf(answer: string, { node, resume }: ReplicaLinkOptions): LinkStart {
  const place = { node, phase: 'handshake' } as const;
  if (answer.startsWith('-')) throw replyError(answer.slice(1), 'PSYNC', place);
  const full = /^\+FULLRESYNC ([0-9a-f]{40}) ([0-9]{1,16})$/.exec(answer);
  if (full !== null) {
    const [, replid = '', digits = ''] = full;
    const offset = BigInt(digits);
    if (offset < OFFSET_MAX) return { kind: 'full', replid, offset };
  }
  const continued = /^\+CONTINUE(?: ([0-9a-f]{40}))?$/.exec(answer);
  if (continued !== null && resume !== null) {
    return { kind: 'continued', replid: continued[1] ?? resume.replid, offset: resume.offset };
  }
  throw foreignPeer(place, 'an answer to PSYNC', answer);
}
