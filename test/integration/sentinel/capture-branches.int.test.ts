import { connectNode } from '@tidemark/client';
import { describe, expect, it } from 'vitest';
import { SetLife } from '../../support/sentinel-set/set-life.ts';

describe('a capture of a Sentinel set', () => {
  it('is taken from replicas, and from the primary while there is none, without a hole', async () => {
    await using it = await SetLife.start({ preferReplica: true });
    const { set } = it;
    await it.record();
    const link = await it.link();
    const first = set.nodes.find(({ port }) => link.node === `redis://127.0.0.1:${port}`)!;
    expect(first).not.toBe(it.primary);
    const second = set.nodes.find((node) => node !== first && node !== it.primary)!;
    await first.kill();
    await it.follows(second);
    await it.record();
    await second.kill();
    await it.follows(it.primary);
    await it.record();
    expect(await it.expectHistory()).toBe(0);
  });

  it('shows the branch of a primary that was cut off, and both sides can be restored', async () => {
    await using it = await SetLife.start();
    await it.record();
    const { set } = it;
    const replicas = set.nodes.filter((node) => node !== it.primary);
    for (const replica of replicas) set.pause(replica);
    // More than the kernel keeps for them between the two processes.
    await using client = await connectNode({ host: '127.0.0.1', port: it.primary.port });
    for (let i = 0; i < 24; i++) await client.call('SET', `lost:${i}`, Buffer.alloc(1 << 20, i));
    await it.record(); // on the branch that nobody else has
    await it.captured();
    set.pause(it.primary);
    for (const replica of replicas) set.resume(replica);
    await it.cutOff();
    await it.record();
    expect(await it.expectHistory()).toBe(1);
    expect(await it.closed()).toEqual(['divergent-tail']);
  });
});
