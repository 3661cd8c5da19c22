import type { Tde } from '@tidemark/catalog';
import type { KeyAdmin, KeyProviders, WrappingKey } from '@tidemark/crypto';

/**
 * Who looks after a key that the user names. The id of the local ring is the ring's; every other name
 * is one of the key service's.
 * @throws KeyError `TM_KEY_MISSING` when no key service is configured.
 */
export async function adminOfKey(name: string, keys: KeyProviders): Promise<KeyAdmin> {
  const ring = await keys.adminOf('ring');
  const [own] = await ring.listUsable();
  return own?.keyId === name ? ring : keys.adminOf('aws-kms');
}

/** The key that is meant: the one that was named, that of the instance, or that of the settings. */
export async function meantKey(
  name: string | undefined,
  tde: Tde,
  keys: KeyProviders,
): Promise<{ readonly admin: KeyAdmin; readonly key: WrappingKey }> {
  if (name !== undefined) {
    const admin = await adminOfKey(name, keys);
    const { provider, keyId } = await admin.describe(name);
    return { admin, key: { provider, keyId } };
  }
  const key = tde.key ?? (await keys.defaultKey());
  return { admin: await keys.adminOf(key.provider), key };
}
