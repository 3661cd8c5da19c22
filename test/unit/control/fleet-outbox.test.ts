import { BusError, FormatError } from '@tidemark/core';
import { systemClock } from '@tidemark/system';
import { expect, it } from 'vitest';
import { Outbox } from '../../../services/control/src/fleet/outbox.ts';
import { CollectingLogger } from '../../support/bus/collecting-logger.ts';
import { eventually } from '../../support/eventually.ts';

it('sends the newest of each job, waits while nobody takes it, and drops only what can never be sent', async () => {
  const outbox = new Outbox<string>('job-events');
  const logger = new CollectingLogger();
  const over = new AbortController();
  const sent: string[] = [];
  let away = 1;
  const send = (all: readonly string[]): Promise<void> => {
    if (away-- > 0) return Promise.reject(new BusError('TM_BUS_DOWN', 'away'));
    if (all.includes('too long')) {
      return Promise.reject(new FormatError('TM_SEAL_LIMIT', 'a job message is too long'));
    }
    sent.push(...all);
    return Promise.resolve();
  };
  outbox.put('a', 'a 1');
  outbox.put('b', 'too long');
  outbox.put('c', 'c 1');
  outbox.put('a', 'a 2');
  const running = outbox.run({ clock: systemClock, logger }, send, over.signal);
  await eventually('sent', () => sent.length === 2);
  expect(sent).toEqual(['c 1', 'a 2']);
  outbox.put('d', 'd 1');
  await eventually('sent', () => sent.length === 3);
  outbox.put('e', 'e 1');
  over.abort();
  await running;
  expect(sent).toEqual(['c 1', 'a 2', 'd 1', 'e 1']);
  expect(logger.lines.map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
    'warn notes-not-sent',
    'error note-dropped',
  ]);
});
