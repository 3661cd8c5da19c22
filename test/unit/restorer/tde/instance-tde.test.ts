import { refuseForTde, type Tde } from '@tidemark/catalog';
import { describe, expect, it } from 'vitest';
import { refuseClearTransport } from '../../../../services/restorer/src/tde/instance-tde.ts';

const tde = (state: Tde['state']): Tde => ({
  iid: 'vault',
  state,
  latched: state !== 'disabled',
  key: null,
  auto: false,
  sinceMs: null,
  enabledMs: null,
  backup: null,
  witnesses: { log: 'on', marker: 'on', archiver: 'on' },
});

describe('refuseClearTransport()', () => {
  it.each(['127.0.0.1', '127.9.8.7', '::1', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1', 'localhost'])(
    'lets clear data over the loopback address %s',
    (address) => {
      expect(() => refuseClearTransport(tde('enabled'), [address, '127.0.0.1'])).not.toThrow();
    },
  );

  it.each(['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', '::2', '::ffff:10.0.0.1', 'db.example', ''])(
    'refuses the address %j from the request for TDE on, and at neither end before',
    (address) => {
      for (const ends of [
        [address, '127.0.0.1'],
        ['127.0.0.1', address],
      ]) {
        for (const state of ['modifying', 'enabled'] as const) {
          expect(() => refuseClearTransport(tde(state), ends)).toThrow(
            expect.objectContaining({
              ...{ code: 'TM_TDE_DENIED', exitCode: 1 },
              context: { instance: 'vault', operation: 'clear-transport', tde: state },
            }),
          );
        }
        expect(() => refuseClearTransport(tde('disabled'), ends)).not.toThrow();
      }
    },
  );

  it('names the instance in the way out', () => {
    expect(() => refuseForTde(tde('enabled'), 'original-restore')).toThrow(
      expect.objectContaining({
        hint: expect.stringContaining('tde allow-original-restore vault on') as unknown,
      }),
    );
  });
});
