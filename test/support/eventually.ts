import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until a condition holds; for as long as a slow machine may need. */
export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  secondsMax = 90,
): Promise<void> {
  const end = performance.now() + secondsMax * 1000;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${secondsMax} s: ${what}`);
    await sleep(20);
  }
}
