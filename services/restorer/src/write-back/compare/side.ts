import type { Argument, NodeClient } from '@tidemark/client';
import { commandKnown } from './command-known.ts';
import { NO_THROTTLE, type Throttle } from '../throttle/throttle.ts';

/** Commands that are sent before their replies are awaited, unless the throttle says less. */
const CHUNK_COMMANDS = 1_024;

/** What a server can be asked beyond what all can. */
export interface SideAbilities {
  /** PEXPIRETIME (7.0): else expiries are reckoned, to within some milliseconds. */
  readonly exactExpiry: boolean;
  /** Expiries of hash fields (Redis 7.4, Valkey 9.0). */
  readonly fieldExpiry: boolean;
  /** SMISMEMBER (6.2). */
  readonly manyMembers: boolean;
}

/** Which server a side is, and how it is spared. */
export interface SideOptions {
  readonly throttle: Throttle;
  readonly signal: AbortSignal;
  /** A server of our own may be held up: many commands go to it as one. Default false. */
  readonly own?: boolean;
}

/** From so many commands on they go as one. */
const SCRIPTED_MIN = 8;
/**
 * Runs commands, each given as the number of its words and the words. The replies are the commands'
 * own, status replies as strings; the first error ends it.
 */
const SCRIPT = `
local replies, at = {}, 1
while at <= #ARGV do
  local words = tonumber(ARGV[at])
  local reply = redis.call(unpack(ARGV, at + 1, at + words))
  if type(reply) == 'table' and reply.ok then reply = reply.ok end
  replies[#replies + 1] = reply
  at = at + words + 1
end
return replies`;

/**
 * One of the two servers of a comparison. Every write selects its database first: whoever else uses
 * the connection between two writes may leave another one selected.
 */
export class Side {
  readonly client: NodeClient;
  readonly abilities: SideAbilities;
  readonly #options: SideOptions;

  private constructor(client: NodeClient, abilities: SideAbilities, options: SideOptions) {
    this.client = client;
    this.abilities = abilities;
    this.#options = options;
  }

  /** @throws NodeError when the server leaves or refuses. */
  static async open(client: NodeClient, options: SideOptions): Promise<Side> {
    const names = ['PEXPIRETIME', 'HPEXPIRETIME', 'SMISMEMBER'];
    const [exactExpiry = false, fieldExpiry = false, manyMembers = false] = await commandKnown(
      client,
      names,
    );
    return new Side(client, { exactExpiry, fieldExpiry, manyMembers }, options);
  }

  /** A server of our own: without a throttle. */
  static openOwn(client: NodeClient, signal: AbortSignal): Promise<Side> {
    return Side.open(client, { throttle: NO_THROTTLE, signal, own: true });
  }

  /**
   * Sends commands to a database; strings of the replies are buffers.
   * @param bytes - What is expected to travel, both ways.
   * @returns The replies in order; where the server answered with an error, a NodeError.
   */
  async tryAll(
    db: number,
    commands: readonly (readonly Argument[])[],
    bytes = 0,
  ): Promise<unknown[]> {
    const { throttle, signal } = this.#options;
    const replies: unknown[] = [];
    for (let start = 0; start < commands.length;) {
      const count = Math.min(chunkOf(throttle), commands.length - start);
      await throttle.take(count + 1, Math.ceil((bytes * count) / commands.length));
      signal.throwIfAborted();
      const chunk = [['SELECT', db] as const, ...commands.slice(start, start + count)];
      const fromMs = performance.now();
      const [selected, ...rest] = await this.client.pipelineBuffer(chunk);
      throttle.note(performance.now() - fromMs);
      if (selected instanceof Error) throw selected;
      for (const reply of rest) replies.push(reply);
      start += count;
    }
    return replies;
  }

  /**
   * As `tryAll`.
   * @throws NodeError the first error that the server answers with.
   */
  async askAll(
    db: number,
    commands: readonly (readonly Argument[])[],
    bytes = 0,
  ): Promise<unknown[]> {
    const scripted = this.#options.own === true && commands.length >= SCRIPTED_MIN;
    const replies = scripted
      ? await this.#askAsOne(db, commands)
      : await this.tryAll(db, commands, bytes);
    for (const reply of replies) if (reply instanceof Error) throw reply;
    return replies;
  }

  /** A client that sends many commands is busy with that more than the server with answering. */
  async #askAsOne(db: number, commands: readonly (readonly Argument[])[]): Promise<unknown[]> {
    const words = commands.flatMap((command) => [command.length, ...command]);
    const [reply] = await this.tryAll(db, [['EVAL', SCRIPT, 0, ...words]]);
    if (reply instanceof Error) throw reply;
    return reply as unknown[];
  }

  /** One command. @throws NodeError as `askAll`. */
  async ask(db: number, command: readonly Argument[], bytes = 0): Promise<unknown> {
    const [reply] = await this.askAll(db, [command], bytes);
    return reply;
  }
}

/** A throttle may say how many commands may be on their way now. */
function chunkOf(throttle: Throttle): number {
  const window = 'window' in throttle && typeof throttle.window === 'number' ? throttle.window : 0;
  return window > 0 ? window : CHUNK_COMMANDS;
}
