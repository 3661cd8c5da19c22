import { parseSentinelUrl } from '@tidemark/client';
import { UsageError } from '@tidemark/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { agreedView, replicasToTry } from '../../libs/client/src/locator/agreed-view.ts';
import { readAnswer } from '../../libs/client/src/locator/sentinel-answer.ts';

const name = fc.stringMatching(/^[a-z0-9][a-z0-9.-]{0,20}$/);
const port = fc.integer({ min: 1, max: 65_535 });

describe('addresses of Sentinel sets', () => {
  it('are read back as they were written', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.record({ host: name, port }), {
          minLength: 1,
          maxLength: 16,
          selector: (at) => `${at.host}:${at.port}`,
        }),
        fc.stringMatching(/^[A-Za-z0-9._-]{1,40}$/),
        fc.option(fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' })),
        fc.boolean(),
        (sentinels, master, user, tls) => {
          const places = sentinels.map((at) => `${at.host}:${at.port}`).join(',');
          const before = user === null ? '' : `${encodeURIComponent(user)}@`;
          const url = `redis${tls ? 's' : ''}+sentinel://${before}${places}/${master}`;
          expect(parseSentinelUrl(url)).toEqual({
            ...{ sentinels, master, tls },
            ...(user === null ? {} : { username: user }),
          });
        },
      ),
    );
  });

  it('are otherwise refused, whatever they are', () => {
    const parts = fc.constantFrom('/', ',', ':', '@', '[', ']', '%', '?', '#', '..', 'h', '1');
    const junk = fc.oneof(
      fc.string(),
      fc.array(parts).map((words) => words.join('')),
    );
    fc.assert(
      fc.property(junk, (rest) => {
        try {
          const { sentinels, master } = parseSentinelUrl(`redis+sentinel://${rest}`);
          expect(sentinels.length).toBeGreaterThan(0);
          expect(master).not.toBe('');
        } catch (error) {
          expect(error).toBeInstanceOf(UsageError);
        }
      }),
    );
  });
});

describe('replies of Sentinels', () => {
  const junk = fc.letrec((tie) => ({
    reply: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom(null, 'ip', 'port', 'flags', 'config-epoch', '0', '1', '65536', 'slave'),
      fc.integer(),
      fc.array(tie('reply'), { maxLength: 8 }),
    ),
  })).reply;

  it('give places that can be connected to, or none, whatever they are', () => {
    fc.assert(
      fc.property(fc.array(junk, { maxLength: 5 }), (replies) => {
        const answer = readAnswer(replies);
        if (answer === null) return;
        const all = [answer.primary, ...answer.replicas, ...answer.sentinels];
        for (const at of all) {
          expect(at.host).not.toBe('');
          expect(at.port).toBeGreaterThan(0);
          expect(at.port).toBeLessThan(65_536);
        }
        expect(agreedView([answer])).toBe(answer);
        expect(replicasToTry(answer, null).every(({ healthy }) => healthy)).toBe(true);
      }),
    );
  });
});
