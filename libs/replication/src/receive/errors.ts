import { NodeError, TidemarkError } from '@tidemark/core';
import type { LinkPhase } from './options.ts';

/** Where a fault was seen. */
export interface LinkPlace {
  readonly node: string;
  readonly phase: LinkPhase;
}

const TEXT_LENGTH_MAX = 300;
const RIGHTS = 'ACL SETUSER <user> +psync +replconf +ping';

/** No connection was made. An error that has a code already is kept. */
export function dialError(cause: unknown, node: string): Error {
  if (cause instanceof TidemarkError) return cause;
  const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : null;
  const text = cause instanceof Error ? printable(cause.message) : 'unknown';
  return new NodeError('TM_NODE_UNREACHABLE', `the server cannot be reached: ${text}`, {
    context: { node, errno },
    cause,
  });
}

/** The link went, or the node gave it up; later it may be there again. */
export function brokenLink(place: LinkPlace, why: string, cause?: unknown): NodeError {
  const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : null;
  return new NodeError('TM_REPLICATION', `the replication link broke: ${why}`, {
    context: { ...place, errno },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** The other end does not talk as a primary does. */
export function foreignPeer(place: LinkPlace, what: string, line: string): NodeError {
  return new NodeError('TM_REPLICATION_PEER', `the server does not speak replication: ${what}`, {
    context: { ...place, reply: printable(line) },
    hint: 'check that the address is one of a Redis or Valkey server and not of a proxy or Sentinel',
  });
}

/**
 * An error reply (without its `-`) as an error with a code. Arguments never get into it: they may
 * be passwords, and so may the part of the server's text that repeats them.
 */
export function replyError(line: string, command: string, place: LinkPlace): NodeError {
  const end = line.indexOf(', with args beginning with');
  const text = printable(end < 0 ? line : line.slice(0, end));
  const context = { ...place, command, reply: text };
  const [word = ''] = text.split(' ', 1);
  if (word === 'NOAUTH') {
    return new NodeError('TM_NODE_AUTH', `${place.node} asks for a password`, {
      context,
      hint: 'write it into a file and name that with --pass-file; a user stands in the address',
    });
  }
  if (word === 'DENIED') {
    return new NodeError('TM_NODE_AUTH', 'the server is in protected mode', {
      context,
      hint: 'set a password on the server, or reach it through the loopback or its unix socket',
    });
  }
  if (word === 'NOPERM') {
    return new NodeError('TM_NODE_RIGHTS', `the server denies ${command}`, {
      context,
      hint: `grant what a replica needs: ${RIGHTS}`,
    });
  }
  if (command === 'AUTH') {
    return new NodeError('TM_NODE_AUTH', `${place.node} refuses the user or password`, {
      context,
      hint: 'check the user in the address and the first line of the password file',
    });
  }
  if (word === 'LOADING') {
    return new NodeError('TM_NODE_LOADING', 'the server is loading its data', { context });
  }
  if (word === 'NOMASTERLINK' || word === 'MASTERDOWN') {
    return new NodeError('TM_REPLICA_LINK_DOWN', 'the node is a replica without its primary', {
      context,
    });
  }
  if (/^ERR unknown command/i.test(text)) {
    return new NodeError('TM_REPLICATION_PEER', `the server does not know ${command}`, {
      context,
      hint: 'a renamed or removed command, a proxy or a Sentinel: capture needs PSYNC and REPLCONF',
    });
  }
  return new NodeError('TM_REPLICATION', `${command} was answered with "${text}"`, { context });
}

function printable(text: string): string {
  return text.slice(0, TEXT_LENGTH_MAX).replace(/[^ -~]/g, '?');
}
