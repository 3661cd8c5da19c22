import { describe, expect, it } from 'vitest';
import { INSTANCE, waitFor } from '../../support/archiver-run.ts';
import { CuttingProxy } from '../../support/cutting-proxy.ts';
import { NodeLife } from '../../support/node-life.ts';
import { SpoilingProxy } from '../../support/spoiling-proxy.ts';

const CUTS = 4;
const VALUE_BYTES = 6_000_000;

/** Lets the archiver reach its node through a port. */
async function goThrough(life: NodeLife, port: number): Promise<void> {
  await life.leave();
  await life.attach({ instances: [{ id: INSTANCE, address: { host: '127.0.0.1', port } }] });
}

async function untilStreaming(life: NodeLife): Promise<void> {
  await waitFor(async () => {
    const { link, linkError } = await life.archiver.status();
    return link?.state === 'streaming' && linkError === null;
  });
}

describe('a replication link that breaks', () => {
  it('goes on where it broke, also inside a large value', async () => {
    await using life = await NodeLife.start({
      ...{ source: 'psync', config: { 'repl-backlog-size': '64mb' } },
    });
    await using proxy = await CuttingProxy.to(life.server.port);
    await goThrough(life, proxy.port);
    await life.record();
    const node = await life.server.connect();
    for (let cuts = 0; cuts < CUTS; cuts++) {
      const value = Buffer.alloc(VALUE_BYTES, cuts);
      const written = node.set('large', value);
      proxy.cutAll();
      await written;
      await untilStreaming(life);
    }
    await life.record();
    await life.expectHistory({ closed: [], holes: [] });
    const { link } = await life.archiver.status();
    expect(link?.fullResyncs).toBe(0);
    expect(link?.partialResyncs).toBeGreaterThan(1);
  });

  it('is begun anew when what came is no command, and the bytes before it stay', async () => {
    await using life = await NodeLife.start({ source: 'psync' });
    await using proxy = await SpoilingProxy.to(life.server.port);
    await goThrough(life, proxy.port);
    await life.record();
    await life.untilProven();
    proxy.spoil();
    const node = await life.server.connect();
    await node.set('spoilt', '1');
    await life.untilTimeline(2);
    await untilStreaming(life);
    await life.record();
    await life.expectHistory({ closed: ['divergent-tail'] });
    expect((await life.archiver.status()).link).toMatchObject({ fullResyncs: 1 });
  });
});
