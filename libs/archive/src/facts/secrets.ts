/**
 * Words that make the value of a setting a secret: `requirepass`, `masterauth`, `primaryauth`,
 * `tls-key-file-pass`, and whatever a module names in the same way.
 *
 * @see redis src/config.c: the entries with SENSITIVE_CONFIG, as of 8.2; valkey src/config.c, 9.0
 */
const SECRET = /pass|auth$|secret|token|credential|(api|access|private|encryption)[-_.]?key$/i;

/** Whether the value of a setting is never stored. */
export function isSecretSetting(name: string): boolean {
  return SECRET.test(name);
}

/** Settings without those whose values are secrets, and the names of such that are not empty. */
export function splitSecrets(settings: Readonly<Record<string, string>>): {
  readonly config: Readonly<Record<string, string>>;
  readonly secrets: readonly string[];
} {
  const all = Object.entries(settings);
  return {
    config: Object.fromEntries(all.filter(([name]) => !isSecretSetting(name))),
    secrets: all
      .filter(([name, value]) => value !== '' && isSecretSetting(name))
      .map(([name]) => name),
  };
}
