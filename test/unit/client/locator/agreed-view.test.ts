import { describe, expect, it } from 'vitest';
import { agreedView, replicasToTry } from '../../../../libs/client/src/locator/agreed-view.ts';
import {
  masterNames,
  readAnswer,
  type SentinelAnswer,
} from '../../../../libs/client/src/locator/sentinel-answer.ts';

const says = (port: number, configEpoch: number): SentinelAnswer => ({
  id: null,
  primary: { host: 'h', port },
  configEpoch,
  primaryIsReplica: false,
  replicas: [],
  sentinels: [],
});

describe('agreedView()', () => {
  it('goes by the latest failover, however many have not heard of it', () => {
    const view = agreedView([says(1, 4), says(1, 4), says(2, 5), says(1, 4)]);
    expect(view?.primary.port).toBe(2);
  });

  it('goes by most voices where none is later, then by the order', () => {
    expect(agreedView([says(1, 4), says(2, 4), says(2, 4)])?.primary.port).toBe(2);
    expect(agreedView([says(1, -1), says(2, -1)])?.primary.port).toBe(1);
    expect(agreedView([])).toBeUndefined();
  });
});

/** A reply of SENTINEL: names and values in turn. */
const flat = (fields: Record<string, string>): string[] => Object.entries(fields).flat();
const replica = (port: number, changes: Record<string, string> = {}): string[] =>
  flat({
    ip: 'h',
    port: port.toString(),
    flags: 'slave',
    'master-link-status': 'ok',
    'master-host': 'h',
    'master-port': '1',
    'slave-priority': '100',
    ...changes,
  });

describe('readAnswer()', () => {
  const master = flat({ ip: 'h', port: '1', 'config-epoch': '7', 'role-reported': 'master' });

  it('reads epoch, replicas and Sentinels', () => {
    const other = flat({ ip: 's', port: '26379', runid: 'abc' });
    expect(readAnswer([['h', '1'], master, [replica(2)], [other], 'me'])).toEqual({
      id: 'me',
      primary: { host: 'h', port: 1 },
      configEpoch: 7,
      primaryIsReplica: false,
      replicas: [{ host: 'h', port: 2, healthy: true, priority: 100 }],
      sentinels: [{ host: 's', port: 26379, id: 'abc' }],
    });
  });

  it('takes no capture for a node, and no replica that is down, cut off or of another primary', () => {
    const answer = readAnswer([
      ['h', '1'],
      master,
      [
        replica(0),
        replica(2, { flags: 's_down,slave' }),
        replica(3, { flags: 'slave,disconnected' }),
        replica(4, { 'master-link-status': 'err' }),
        replica(5, { 'master-port': '9' }),
        replica(6, { 'master-host': 'name.of.h' }),
      ],
      new Error('NOPERM'),
      new Error('unknown'),
    ]);
    expect(answer?.replicas.map(({ port, healthy }) => [port, healthy])).toEqual([
      [2, false],
      [3, false],
      [4, false],
      [5, false],
      [6, true],
    ]);
  });

  it('knows a primary that calls itself a replica, but not while another one is asked about', () => {
    const demoted = flat({ ip: 'h', port: '1', 'role-reported': 'slave' });
    expect(readAnswer([['h', '1'], demoted])?.primaryIsReplica).toBe(true);
    expect(readAnswer([['h', '2'], demoted])?.primaryIsReplica).toBe(false);
  });

  it('is null for what names no place, and reads hostile lists without harm', () => {
    for (const address of [null, [], ['h'], ['', '1'], ['h', '0'], ['h', '65536'], ['h', 'x'], 5]) {
      expect(readAnswer([address, master])).toBeNull();
    }
    const hostile = readAnswer([['h', '1'], 'x', [null, 5, ['ip']], { length: 3 }, 9]);
    expect(hostile).toMatchObject({ configEpoch: -1, replicas: [], sentinels: [], id: null });
    const many = Array.from({ length: 1000 }, (_, i) => replica(i + 1));
    expect(readAnswer([['h', '1'], master, many])?.replicas).toHaveLength(64);
    expect(masterNames([flat({ name: 'a' }), null, flat({ ip: 'x' })])).toEqual(['a']);
  });
});

describe('replicasToTry()', () => {
  it('keeps the one that is followed, then prefers those that are promoted last', () => {
    const at = (port: number, priority: number, healthy = true) => ({
      ...{ host: 'h', port, priority, healthy },
    });
    const view = { ...says(1, 1), replicas: [at(2, 10), at(3, 0), at(4, 100), at(5, 0, false)] };
    const ports = (followed: string | null): number[] =>
      replicasToTry(view, followed).map(({ port }) => port);
    expect(ports(null)).toEqual([3, 4, 2]);
    expect(ports('h:2')).toEqual([2, 3, 4]);
    expect(ports('h:5')).toEqual([3, 4, 2]);
  });
});
