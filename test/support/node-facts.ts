import type { NodeFactsRecord } from '@tidemark/archive';

/** Facts with every part, and bytes that are no UTF-8 in a pattern. */
export const FACTS: NodeFactsRecord = {
  product: 'redis',
  version: '7.0.15',
  modules: [{ name: 'bf', version: 20_604 }],
  commands: [
    command('config|get', -3, ['admin', 'noscript']),
    { ...command('get', 2, ['fast', 'readonly']), firstKey: 1, lastKey: 1, keyStep: 1 },
    { ...command('mset', -3, ['denyoom', 'write']), firstKey: 1, lastKey: -1, keyStep: 2 },
  ],
  config: { hz: '10', maxmemory: '0', 'maxmemory-policy': 'allkeys-lru' },
  secrets: ['requirepass'],
  acl: [
    { name: 'alice', rules: `on #${'ab'.repeat(32)} ~cache:\u00ff\u0080* &* -@all +get` },
    { name: 'default', rules: 'on nopass sanitize-payload ~* &* +@all' },
  ],
  unread: [],
};

function command(
  name: string,
  arity: number,
  flags: readonly string[],
): NonNullable<NodeFactsRecord['commands']>[number] {
  return { name, arity, flags, firstKey: 0, lastKey: 0, keyStep: 0 };
}
