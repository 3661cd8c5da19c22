import { connectNode, describeAddress, dialNode } from '@tidemark/client';
import { systemClock } from '@tidemark/system';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CuttingProxy } from '../../support/cutting-proxy.ts';
import { patternBytes } from '../../support/pattern.ts';
import { cut, scanChunks } from '../../support/rdb-scan.ts';
import { linkTo, StreamTaker, takeSnapshot } from '../../support/replica-link.ts';
import { serverBinaries } from '../../support/servers.ts';
import { TlsWorld } from '../../support/tls/tls-world.ts';

const cases = serverBinaries().map((server) => ({ server, name: server.name }));

describe('a link in mutual TLS', () => {
  let world: TlsWorld;
  beforeAll(async () => {
    world = await TlsWorld.create();
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
  });

  /** A link over TLS to a port: of the server, or of something between. */
  async function secured(port: number, changes: Parameters<typeof linkTo>[1] = {}) {
    const address = await world.address(port);
    return linkTo(port, {
      dial: (signal) => dialNode(address, { timeoutMs: 30_000, signal }),
      node: describeAddress(address),
      ...changes,
    });
  }

  it.each(cases)('gives what $name sends, and goes on behind a cut', async ({ server }) => {
    await using node = await world.start({ binary: server.binary });
    const client = await node.connect();
    await client.set('large', patternBytes(3 << 20));
    const proxy = await CuttingProxy.to(node.tlsPort);
    try {
      proxy.cuts.push(1 << 20);
      await using broken = await secured(proxy.port);
      await expect(takeSnapshot(broken)).rejects.toMatchObject({
        code: 'TM_REPLICATION',
        context: { phase: 'snapshot' },
        retryable: true,
      });
    } finally {
      await proxy[Symbol.asyncDispose]();
    }
    await using link = await secured(node.tlsPort);
    const rdb = await takeSnapshot(link);
    expect(scanChunks(cut(rdb, 65_536)).entries).toHaveLength(1);
    const taker = new StreamTaker(link);
    const value = patternBytes(1 << 20, 5);
    await client.set('a', value);
    const [, offset = ''] =
      /^master_repl_offset:(\d+)/m.exec(await client.info('replication')) ?? [];
    await taker.until(BigInt(offset));
    expect(taker.taken.includes(value)).toBe(true);
    await link[Symbol.asyncDispose]();
    await client.set('behind', 1);
    const resume = { replid: link.start.replid, offset: taker.offset };
    await using next = await secured(node.tlsPort, { resume });
    expect(next.start).toEqual({ kind: 'continued', ...resume });
    const goesOn = new StreamTaker(next);
    while (!goesOn.taken.includes('behind')) {
      expect(goesOn.isOver).toBe(false);
      await systemClock.sleep(20);
    }
    await using plain = await connectNode(await world.address(node.tlsPort));
    expect(await plain.call('GET', 'behind')).toBe('1');
  });
});
