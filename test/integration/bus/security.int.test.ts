import type { BusSettings } from '@tidemark/bus';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openTestBus } from '../../support/bus/open-test-bus.ts';
import { describeWithKafka, KafkaBroker } from '../../support/kafka.ts';
import { rejection } from '../../support/log-harness.ts';
import { TestCa } from '../../support/tls/certificates.ts';

const USER = { username: 'tidemark', password: 'a-password-of-kafka' };

describeWithKafka('a bus to brokers with TLS and users', () => {
  let broker: KafkaBroker;
  let ca: TestCa;
  let other: TestCa;
  beforeAll(async () => {
    ca = await TestCa.create('kafka');
    other = await TestCa.create('another');
    const tls = await ca.issue();
    broker = await KafkaBroker.start({ tls, sasl: USER });
  });
  afterAll(async () => broker[Symbol.asyncDispose]());

  const attempt = async (over: Partial<BusSettings>): Promise<void> => {
    await using opened = await openTestBus(broker.address, over);
    await opened.bus.ensureTopics();
    await opened.bus.publish('parked', [{ key: 'k', value: Buffer.from('v') }]);
  };

  it.each(['plain', 'scram-sha-512'] as const)('works for a user by %s', async (mechanism) => {
    await attempt({ tls: { ca: ca.cert }, sasl: { mechanism, ...USER } });
  });

  it.each(['plain', 'scram-sha-512'] as const)(
    'tells of a wrong password by %s, without showing it',
    async (mechanism) => {
      const sasl = { mechanism, username: USER.username, password: 'something-else' };
      const error = await rejection(attempt({ tls: { ca: ca.cert }, sasl }));
      expect(error.code).toBe('TM_BUS_REFUSED');
      expect(JSON.stringify([error.message, error.context])).not.toContain('something-else');
    },
  );

  it('refuses a broker of an authority that is not trusted', async () => {
    const sasl = { mechanism: 'plain', ...USER } as const;
    const error = await rejection(attempt({ tls: { ca: other.cert }, sasl }));
    expect(error.code).toBe('TM_BUS_REFUSED');
  });

  it('ends when it speaks without TLS to a port with TLS', async () => {
    const error = await rejection(attempt({}));
    expect(error.code).toBe('TM_BUS_DOWN');
  });
});
