import { beforeEach, describe, expect, it } from 'vitest';
import {
  BesideClaims,
  type ClaimedPlace,
} from '../../../../../services/archiver/src/capture/psync/beside-claims.ts';

const [A, B] = ['a'.repeat(40), 'b'.repeat(40)];
const at = (position: number, more: Partial<ClaimedPlace> = {}): ClaimedPlace => ({
  ...{ seq: 0, ino: '7', replid: A, position },
  ...more,
});

let claims: BesideClaims;
/** What became of a claim by now. */
async function fateOf(place: ClaimedPlace, act: () => void): Promise<string> {
  const { passed } = claims.claim(place);
  let fate = 'waits';
  passed.then(
    () => (fate = 'passed'),
    (cause: unknown) => (fate = (cause as { code: string }).code),
  );
  act();
  await new Promise(setImmediate);
  return fate;
}

beforeEach(() => {
  claims = new BesideClaims();
  claims.noteHistory(at(100));
});

describe('BesideClaims', () => {
  it('lets a place through once what is read has got there under the same id', async () => {
    expect(await fateOf(at(100), () => undefined)).toBe('passed');
    expect(await fateOf(at(200), () => claims.noteRead(199))).toBe('waits');
    expect(await fateOf(at(200), () => claims.noteRead(200))).toBe('passed');
  });

  it('refuses a place of a primary whose last bytes never came, and another was promoted', async () => {
    const fate = await fateOf(at(300), () => {
      claims.noteRead(250);
      claims.noteRenamed(B, 250);
      claims.noteRead(400);
    });
    expect(fate).toBe('TM_REPLICATION');
  });

  it('lets a place through that was reached before another was promoted', async () => {
    expect(await fateOf(at(250), () => claims.noteRenamed(B, 250))).toBe('passed');
  });

  it('waits for an id that what is read has yet to come to', async () => {
    const place = at(300, { replid: B });
    expect(await fateOf(place, () => claims.noteRead(350))).toBe('waits');
    const fate = await fateOf(at(400, { replid: B }), () => {
      claims.noteRenamed(B, 380);
      claims.noteRead(400);
    });
    expect(fate).toBe('passed');
  });

  it('refuses a place of a history that is over, and waits for a later one', async () => {
    const next = at(500, { seq: 1, ino: '8' });
    expect(await fateOf(at(300), () => claims.noteHistory(next))).toBe('TM_REPLICATION');
    const later = at(10, { seq: 2, ino: '9' });
    expect(await fateOf(later, () => claims.noteRead(600))).toBe('waits');
    expect(await fateOf(later, () => claims.noteHistory(later))).toBe('passed');
  });

  it('refuses everything when what is read is given up', async () => {
    expect(await fateOf(at(300), () => claims.loseAll())).toBe('TM_REPLICATION');
    expect(await fateOf(at(50), () => undefined)).toBe('waits');
  });
});
