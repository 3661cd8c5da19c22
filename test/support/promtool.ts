import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'vitest';
import { serversRequired } from './servers.ts';

const CACHED = fileURLToPath(new URL('../../.cache/prometheus/promtool', import.meta.url));
const TIMEOUT_MS = 60_000;

/** Path of the parser of Prometheus; null where it cannot be had. */
function findPromtool(): string | null {
  if (existsSync(CACHED)) return CACHED;
  const { status } = spawnSync('promtool', ['--version'], { timeout: TIMEOUT_MS });
  return status === 0 ? 'promtool' : null;
}

/**
 * A group of tests with promtool. Where it cannot be had, one test stands for the group: skipped, with
 * the reason in its name, or failed when `TIDEMARK_REQUIRE=all`.
 */
export function describeWithPromtool(
  name: string,
  tests: (promtool: (args: readonly string[], input?: string) => string) => void,
): void {
  const program = findPromtool();
  if (program !== null) {
    describe(name, () => {
      tests((args, input = '') =>
        execFileSync(program, args, {
          ...{ input, encoding: 'utf8', timeout: TIMEOUT_MS, stdio: 'pipe' },
        }),
      );
    });
    return;
  }
  const reason = 'promtool is not on this machine (run `make prometheus`)';
  it.skipIf(!serversRequired())(`${name}: ${reason}`, () => {
    throw new Error(reason);
  });
}
