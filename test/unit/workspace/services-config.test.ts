import { describe, expect, it } from 'vitest';
import {
  apiSettings,
  cloneSettings,
  eventSettings,
  listenAddress,
  workerSettings,
} from '../../../services/workspace/src/config/services.ts';

const fault = (part: string): object => ({
  code: 'TM_CONFIG',
  message: expect.stringContaining(part) as string,
});

describe('apiSettings()', () => {
  it('takes paths from the folder of the configuration', () => {
    const server = { tls_cert_file: 'c.crt', tls_key_file: '/k', tls_client_ca_file: 'ca' };
    expect(apiSettings({ server, auth: { mode: 'mtls' } }, '/etc/t')).toMatchObject({
      tls: { certFile: '/etc/t/c.crt', keyFile: '/k', clientCaFile: '/etc/t/ca' },
      auth: 'mtls',
      tokensFile: '/etc/t/tokens',
    });
  });

  it.each<[string, Parameters<typeof apiSettings>[0], string]>([
    [
      'open to all beyond the loopback',
      { server: { listen: '0.0.0.0:80' }, auth: { mode: 'none' } },
      'auth.mode',
    ],
    [
      'certificates of callers without an authority',
      { auth: { mode: 'mtls' } },
      'tls_client_ca_file',
    ],
    ['a certificate without its key', { server: { tls_cert_file: 'c' } }, 'belong together'],
  ])('refuses %s', (_, file, part) => {
    expect(() => apiSettings(file, '/')).toThrow(expect.objectContaining(fault(part)));
  });
});

describe('listenAddress()', () => {
  it.each([
    ['127.0.0.1:0', { host: '127.0.0.1', port: 0 }],
    ['[::1]:9790', { host: '::1', port: 9790 }],
  ])('reads %s', (text, address) => {
    expect(listenAddress(text, 'x')).toEqual(address);
  });

  it.each(['8080', ':80', 'h:70000', 'a:b', '::1:80'])('refuses %s', (text) => {
    expect(() => listenAddress(text, 'server.listen')).toThrow(
      expect.objectContaining(fault('server.listen')),
    );
  });
});

describe('settings of workers, clones and events', () => {
  it('are refused beyond their limits', () => {
    expect(() => workerSettings({ workers: 33 })).toThrow(
      expect.objectContaining(fault('workers')),
    );
    for (const ports of ['6400', '6500-6400', '0-9', '1-70000']) {
      expect(() => cloneSettings({ ports }, '/', '/s')).toThrow(
        expect.objectContaining(fault('clone.ports')),
      );
    }
    expect(() => eventSettings({ brokers: ['h:1'], sasl_user: 'u' }, '/')).toThrow(
      expect.objectContaining(fault('belong together')),
    );
  });

  it('of events send a password in clear to this host only', () => {
    const sasl = { sasl_user: 'u', sasl_password_file: 'p' } as const;
    const plain = { ...sasl, sasl_mechanism: 'plain' } as const;
    for (const broker of ['kafka:9092', '127.0.0.1.evil.example:9092', '[2001:db8::1]:9092']) {
      expect(() => eventSettings({ brokers: ['127.0.0.1:1', broker], ...plain }, '/')).toThrow(
        expect.objectContaining(fault('in clear')),
      );
    }
    const near = ['127.0.0.1:9092', '[::1]:9092', 'localhost:9092'];
    expect(eventSettings({ brokers: near, ...plain }, '/')?.tls).toBeNull();
    const scram = { ...sasl, sasl_mechanism: 'scram-sha-512' } as const;
    expect(eventSettings({ brokers: ['kafka:9092'], ...scram }, '/')?.tls).toBeNull();
  });

  it('of events name the authority and the password by reference only', () => {
    const sasl = { sasl_mechanism: 'plain', sasl_user: 'u', sasl_password_file: 'p' } as const;
    expect(eventSettings({ brokers: ['h:1'], tls_ca_file: 'ca', ...sasl }, '/etc')).toEqual({
      brokers: ['h:1'],
      topicPrefix: 'tidemark.',
      tls: { caFile: '/etc/ca' },
      sasl: { mechanism: 'plain', username: 'u', password: '/etc/p' },
    });
    expect(eventSettings(undefined, '/')).toBeNull();
  });
});
