import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../../..', import.meta.url));

/** Every TypeScript source of the product. */
function sources(): readonly string[] {
  return ['libs', 'services'].flatMap((part) =>
    readdirSync(join(ROOT, part)).flatMap((name) => {
      const src = join(part, name, 'src');
      const entries = readdirSync(join(ROOT, src), { recursive: true, encoding: 'utf8' });
      return entries.filter((path) => path.endsWith('.ts')).map((path) => join(src, path));
    }),
  );
}

/** What would make a connection that is not verified, or not encrypted without being asked. */
const WAYS_AROUND: readonly (readonly [string, RegExp])[] = [
  ['verification that can be switched off', /rejectUnauthorized\s*[:=](?!\s*true\b)/],
  ['an environment that switches it off', /NODE_TLS_REJECT_UNAUTHORIZED'\]\s*=(?!=)/],
  ['any name is good', /checkServerIdentity\s*:\s*\(\s*\)/],
  ['a weaker library', /SECLEVEL|secureOptions|TLSv1(\.1)?['"]/],
];

describe('the sources of the product', () => {
  const files = sources();

  it('are all looked at', () => {
    expect(files.length).toBeGreaterThan(300);
    expect(files).toContain(join('libs', 'client', 'src', 'dial.ts'));
  });

  it.each(WAYS_AROUND)('hold no way around TLS: %s', (_, pattern) => {
    const found = files.filter((file) => pattern.test(readFileSync(join(ROOT, file), 'utf8')));
    expect(found).toEqual([]);
  });

  it('open TLS connections in three places only, which say that they verify', () => {
    const dialling = files.filter((file) =>
      /from 'node:tls'/.test(readFileSync(join(ROOT, file), 'utf8')),
    );
    const connecting = dialling.filter((file) =>
      /\bconnect\b[^;]*from 'node:tls'/.test(readFileSync(join(ROOT, file), 'utf8')),
    );
    expect(connecting.map((file) => file.replaceAll('\\', '/')).sort()).toEqual([
      'libs/bus/src/kafka/sockets.ts',
      'libs/client/src/dial.ts',
      'libs/client/src/probe.ts',
    ]);
  });
});
