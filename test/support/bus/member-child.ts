// A member of a group in a process of its own, to be frozen: prints a line for each change.
import { systemClock } from '@tidemark/system';
import { openTestBus } from './open-test-bus.ts';

const [broker = '', sessionMs = '', instances = ''] = process.argv.slice(2);
const over = new AbortController();
process.once('SIGTERM', () => over.abort());
const tell = (what: string, names: readonly string[]): void => {
  process.stdout.write(`${what} ${names.join(',')}\n`);
};
await using opened = await openTestBus(broker);
const member = opened.bus.joinGroup({
  group: 'archivers',
  topic: 'writers',
  instances: instances.split(','),
  sessionMs: Number(sessionMs),
  onAssigned: (names) => tell('assigned', names),
  onRevoked: async (names, why) => {
    await systemClock.sleep(50);
    tell(`revoked-${why}`, names);
  },
  signal: over.signal,
});
await member.over;
tell('over', []);
