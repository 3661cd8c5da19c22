import { NodeError } from '@tidemark/core';

/** What an error is about. */
export interface ErrorPlace {
  /** Address for messages. */
  readonly node: string;
  /** Command and subcommand, without arguments. */
  readonly command: string;
}

const TEXT_LENGTH_MAX = 300;

/** Whether the server itself said so, as opposed to a broken or closed connection. */
export function isServerReply(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError';
}

/**
 * An error reply or a failed connection as an error with a code.
 *
 * Arguments never get into it: they may be passwords, and so may the part of the server's text that
 * repeats them. The client library's error, which holds them too, is not kept as a cause.
 */
export function nodeError(error: unknown, place: ErrorPlace): NodeError {
  if (error instanceof NodeError) return error;
  if (!isServerReply(error)) return connectionError(error, place);
  const text = cleanText(error.message);
  const context = { ...place, reply: text };
  const [word] = text.split(' ', 1);
  if (word === 'NOAUTH') {
    return new NodeError('TM_NODE_AUTH', `${place.node} asks for a password`, {
      context,
      hint: 'write it into a file and name that with --pass-file; a user stands in the address',
    });
  }
  if (word === 'WRONGPASS' || /^ERR invalid password/.test(text)) {
    return new NodeError('TM_NODE_AUTH', `${place.node} refuses the user or password`, {
      context,
      hint: 'check the user in the address and the first line of the password file',
    });
  }
  if (word === 'DENIED') {
    return new NodeError('TM_NODE_AUTH', 'the server is in protected mode', {
      context,
      hint: 'set a password on the server, or reach it through the loopback or its unix socket',
    });
  }
  if (word === 'NOPERM') {
    const denied = /'([^' ]+)' command/.exec(text)?.[1];
    const command = denied?.replace('|', ' ').toUpperCase() ?? place.command;
    return new NodeError('TM_NODE_RIGHTS', `the server denies ${command}`, {
      context: { ...context, command },
      hint: `grant it: ACL SETUSER <user> +${command.toLowerCase().replace(' ', '|')}; all that users need: tidemark instance add --print-acl`,
    });
  }
  return new NodeError('TM_NODE_REPLY', `${place.command} was answered with "${text}"`, {
    context,
  });
}

/** The connection broke, was closed, or a reply did not come in time. */
export function connectionError(error: unknown, place: ErrorPlace): NodeError {
  if (error instanceof NodeError) return error;
  const errno =
    error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
  const text = error instanceof Error ? cleanText(error.message) : 'unknown';
  return new NodeError('TM_NODE_UNREACHABLE', `the server cannot be reached: ${text}`, {
    context: { ...place, errno },
    ...(errno === 'ECONNREFUSED' || errno === 'ENOENT'
      ? { hint: 'check that the server runs and that the address is right' }
      : {}),
  });
}

/** Without arguments, and without what moves a cursor or ends a line: the other side wrote it. */
function cleanText(text: string): string {
  const end = text.indexOf(', with args beginning with');
  const own = end < 0 ? text : text.slice(0, end);
  return own.replaceAll(/\p{Cc}/gu, '').slice(0, TEXT_LENGTH_MAX);
}
