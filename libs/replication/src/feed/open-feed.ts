import { isIP } from 'node:net';
import { UsageError } from '@tidemark/core';
import { FeedRun } from './feed-run.ts';
import { Gate } from './gate.ts';
import type { Feed, FeedOptions, FeedResult, FeedTimeouts } from './options.ts';

function checkOptions(options: FeedOptions): void {
  const wrong = (what: string): UsageError => new UsageError('TM_USAGE', `feed: ${what}`);
  if (!/^[0-9a-f]{40}$/.test(options.replicationId)) {
    throw wrong('the replication id must be 40 lower-case hex digits');
  }
  if (options.baseOffset < 0n) throw wrong('the base offset must not be negative');
  if (options.user === '' || options.password.length < 16) {
    throw wrong('a user and a password of at least 16 characters are needed');
  }
  if (options.allowFrom !== undefined && isIP(options.allowFrom) === 0) {
    throw wrong('the address that may connect must be an IP address');
  }
  if (options.tls != null && !/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/.test(options.tls.peerFingerprint)) {
    throw wrong('the pin is a SHA-256 in hexadecimal with colons');
  }
}

/**
 * Opens a replication feed: the master end of PSYNC for one server.
 *
 * The server is then told `REPLICAOF host port`, with `masteruser` and `masterauth` set to the
 * feed's one-time user and password. It gets the snapshot, then the commands. When the link breaks
 * it goes on exactly after the last command that the server applied.
 *
 * With `tls` the server verifies us by its own authorities, and only one that shows the pinned
 * certificate gets as far as the password. Sessions are not gone on with.
 * @throws NodeError `TM_FEED_LISTEN`; UsageError `TM_USAGE`.
 * @see redis src/replication.c, `syncWithMaster`, `readSyncBulkPayload`
 */
export async function openFeed(options: FeedOptions): Promise<Feed> {
  checkOptions(options);
  options.signal.throwIfAborted();
  const timeouts: Required<FeedTimeouts> = {
    connectMs: options.timeouts?.connectMs ?? 60_000,
    reconnectMs: options.timeouts?.reconnectMs ?? 60_000,
    authenticateMs: options.timeouts?.authenticateMs ?? 5000,
    stallMs: options.timeouts?.stallMs ?? 600_000,
    keepaliveMs: options.timeouts?.keepaliveMs ?? 5000,
    tlsMs: options.timeouts?.tlsMs ?? 5000,
  };
  const run: FeedRun = new FeedRun(options, timeouts, {
    explain: () => ({
      strangers: gate.rejections.address + gate.rejections.protocol + gate.rejections.time,
      wrongPasswords: gate.rejections.password,
    }),
    trouble: () => gate.trouble,
  });
  const gate = await Gate.listen({
    host: options.listenHost,
    port: options.listenPort ?? 0,
    user: options.user,
    password: options.password,
    allowFrom: options.allowFrom,
    tls: options.tls ?? null,
    authenticateMs: timeouts.authenticateMs,
    clock: options.clock,
    onArrival: (link) => run.arrive(link),
  });
  const { address, port } = gate.address;
  return start(options, gate, run, { host: address, port });
}

function start(
  options: FeedOptions,
  gate: Gate,
  run: FeedRun,
  address: { readonly host: string; readonly port: number },
): Feed {
  const onAbort = (): void => {
    const reason: unknown = options.signal.reason;
    run.fail(reason instanceof Error ? reason : new Error(String(reason)));
  };
  options.signal.addEventListener('abort', onAbort, { once: true });
  let ended: Promise<void> = Promise.resolve();
  const result = new Promise<FeedResult>((resolve, reject) => {
    ended = run.run(resolve).catch((error: unknown) => {
      gate.close();
      options.signal.removeEventListener('abort', onAbort);
      reject(error instanceof Error ? error : new Error(String(error)));
      run.fail(error instanceof Error ? error : new Error(String(error)));
    });
  });
  // A caller that never asks must not bring the process down.
  result.catch(() => undefined);
  if (options.signal.aborted) onAbort();
  return {
    ...address,
    finished: () => result,
    async [Symbol.asyncDispose]() {
      run.cancel();
      await ended;
    },
  };
}
